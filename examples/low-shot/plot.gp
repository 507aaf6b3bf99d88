# plot.gp: harmonic mean by shots with 95 % intervals, a line a method, in the legend from the best at most shots down;
# called by the Makefile with curves, picture and name set. Left without fine-tuning, right with, if there is any.
tics = system(sprintf("sed -n 's/^# tics //p' %s", curves))
last = int(system(sprintf("sed -n '1s/.* //p' %s", curves)))
set xlabel "shots a class"
eval "set xtics (".tics.") nomirror"
set xrange [0.5:last + 0.5]
set yrange [0:1]
set ytics 0.1 nomirror
set grid ytics lt 1 lc rgb "#cccccc"
set border 3
set key outside right top vertical Left reverse samplen 2 spacing 1.1
stats curves using 1 nooutput
array title_of[STATS_blocks]
do for [i = 1:STATS_blocks] {
    title_of[i] = system(sprintf("grep '^\"' %s | sed -n %dp | tr -d '\"'", curves, i))
}
# One colour a method; calibrated ones thick, others thin and dashed.
colour(t) = strstrt(t, "mean") == 1 ? 0x1f77b4 : strstrt(t, "augment") == 1 ? 0xff7f0e : \
            strstrt(t, "proxies") == 1 ? 0x2ca02c : strstrt(t, "ridge") == 1 ? 0xd62728 : \
            strstrt(t, "auto") == 1 ? 0x000000 : strstrt(t, "joint") == 1 ? 0x9467bd : 0x7f7f7f
calibrated(t) = strstrt(t, "calibrated") > 0
thick(t) = calibrated(t) ? 2.2 : 1.3
dash(t) = calibrated(t) ? 1 : 2
tuned(t) = strstrt(t, "tuned") > 0
short(t) = tuned(t) ? substr(t, 1, strstrt(t, ", tuned") - 1) : t
shown(i, side) = tuned(title_of[i]) == side || strstrt(title_of[i], "joint") == 1
# Intervals of one number of shots stand beside each other.
beside(i) = 0.024 * (i - (STATS_blocks + 1) / 2.0)
sides = 0
do for [i = 1:STATS_blocks] { sides = tuned(title_of[i]) ? 1 : sides }
set terminal pngcairo size 700 * (1 + sides) + 100,560 font "sans,10" noenhanced background rgb "#ffffff"
set output picture
set multiplot layout 1,(1 + sides) title name font "sans,13"
do for [side = 0:sides] {
    set title side ? "then fine-tuned" : "nothing trained"
    set ylabel "harmonic mean of base and novel accuracy"
    plot for [i = 1:STATS_blocks] curves index (i - 1) every ::1 using ($1 + beside(i)):(shown(i, side) ? $2 : NaN):3 \
        with yerrorlines lc rgb colour(title_of[i]) dt dash(title_of[i]) \
        lw thick(title_of[i]) pt 7 ps 0.6 \
        title shown(i, side) ? short(title_of[i]) : ""
}
unset multiplot
