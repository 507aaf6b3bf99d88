# plot.gp: harmonic mean by shots, a line a method; called by the Makefile with curves, picture and name set.
# Left without fine-tuning, right with, if there is any; intervals are in the tables.
set terminal pngcairo size 1100,560 font "sans,11" noenhanced
set output picture
set ylabel "harmonic mean of base and novel accuracy"
set xlabel "shots a class"
set xrange [0.8:6.2]
set yrange [0:1]
set xtics ("1" 1, "2" 2, "5" 3, "10" 4, "20" 5, "all" 6) nomirror
set ytics 0.1 nomirror
set grid ytics lc rgb "#dddddd"
set border 3
set key below maxrows 4 samplen 2 spacing 1.1 width 1
stats curves nooutput
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
sides = 0
do for [i = 1:STATS_blocks] { sides = tuned(title_of[i]) ? 1 : sides }
set multiplot layout 1,(1 + sides) title name font "sans,13"
do for [side = 0:sides] {
    set title side ? "then fine-tuned" : "nothing trained"
    plot for [i = 1:STATS_blocks] curves index (i - 1) every ::1 using 1:(shown(i, side) ? $2 : NaN) \
        with linespoints lc rgb colour(title_of[i]) dt dash(title_of[i]) \
        lw thick(title_of[i]) pt 7 ps 0.6 \
        title shown(i, side) ? short(title_of[i]) : ""
}
unset multiplot
