/* epoch_report.h: what training tells of each epoch, for people and as a JSON line. */
#ifndef SRC_TRAINING_EPOCH_REPORT_H
#define SRC_TRAINING_EPOCH_REPORT_H

#include <stddef.h>
#include <time.h>

typedef struct {
    size_t epoch, epochs;          /* 1 to epochs */
    double loss, accuracy;         /* the mean over the epoch's training rows, as they came */
    double val_loss, val_accuracy; /* after the epoch; NAN without validation rows */
    double rate;                   /* the learning rate of its last step */
    time_t ended;                  /* when its validation was done */
    double seconds;                /* training and validation */
    double images_per_second;      /* training alone */
} epoch_report;

/* "epoch 1/5: loss 1.6239, accuracy 0.4012, val_loss 1.2866, val_accuracy 0.5401, 12.3 s,
 * 3412 pictures/s". Fits 256 characters. */
char *epoch_report_text(const epoch_report *r, char *text, size_t size);

/* One object with the keys epoch, loss, accuracy, val_loss, val_accuracy, rate, time (RFC 3339, in
 * UTC, of its end), seconds, images_per_second; a number that is none (NAN) is null. No newline. */
char *epoch_report_json(const epoch_report *r, char *text, size_t size);

#endif
