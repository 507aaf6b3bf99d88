/* restart.h: this program once more. */
#ifndef COMMON_BASE_RESTART_H
#define COMMON_BASE_RESTART_H

/* Begins the program anew in its process, with those words, for libraries that read the environment
 * only as they are loaded; `ps` and `killall` know it by its name. Returns where that cannot be:
 * the file is gone, or the program was given to the loader (ld.so PROGRAM), which would be lost.
 * To be called before the working folder changes. */
void restart(char **words);

#endif
