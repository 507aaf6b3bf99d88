# plot.gp: harmonic mean by shots, a line a method; called by the Makefile with curves, picture and name set.
set terminal pngcairo size 1000,640 font "sans,11" noenhanced
set output picture
set title "Adding novel classes: ".name offset 0,-0.4 font "sans,13"
set xlabel "shots a class"
set ylabel "harmonic mean of base and novel accuracy"
set xrange [0.8:6.2]
set yrange [0:*]
set xtics ("1" 1, "2" 2, "5" 3, "10" 4, "20" 5, "all" 6)
set key outside right top samplen 2 spacing 1.1
set grid ytics lc rgb "#dddddd"
set border 3
set tics nomirror
stats curves nooutput
# One colour a method; dashed when tuned, thicker when calibrated.
method(i) = word(titles, i)
colour(t) = strstrt(t, "mean") == 1 ? 0x1f77b4 : strstrt(t, "augment") == 1 ? 0x17becf : \
            strstrt(t, "proxies") == 1 ? 0x2ca02c : strstrt(t, "ridge") == 1 ? 0xd62728 : \
            strstrt(t, "auto") == 1 ? 0x000000 : strstrt(t, "joint") == 1 ? 0x9467bd : 0x7f7f7f
dash(t) = strstrt(t, "tuned") ? 2 : 1
thick(t) = strstrt(t, "calibrated") ? 2.4 : 1.2
array name_of[STATS_blocks]
do for [i = 0:STATS_blocks - 1] {
    name_of[i + 1] = system(sprintf("grep '^\"' %s | sed -n %dp | tr -d '\"'", curves, i + 1))
}
plot for [i = 1:STATS_blocks] curves index i - 1 using 1:2:3 every ::1 with yerrorlines \
    lc rgb colour(name_of[i]) dt dash(name_of[i]) lw thick(name_of[i]) pt 7 ps 0.5 title name_of[i]
