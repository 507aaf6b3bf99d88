# embeddings.gp: accuracy by shots, means over sets, imprint as it comes and scikit-learn's eight ways; called by sets.mk with
# curves (what peers.py --curves prints) and picture set.
set xlabel "shots a class"
set xrange [-0.3:4.3]
set xtics ("1" 0, "2" 1, "5" 2, "10" 3, "20" 4) nomirror
set yrange [0:1]
set ytics 0.1 nomirror
set grid ytics lt 1 lc rgb "#cccccc"
set border 3
set key outside right center vertical Left reverse samplen 2 spacing 1.1
names = "imprint ridge logistic lda ranpac cl2n mean proxies knn"
colours = "#000000 #d62728 #ff7f0e #9467bd #8c564b #17becf #1f77b4 #2ca02c #7f7f7f"
rows(base, name) = sprintf("< awk -F'\t' '$1 == %d && $2 == \"%s\"' %s", base, name, curves)
set terminal pngcairo size 1200, 460 font "sans,11"
set output picture
set multiplot layout 1, 2
do for [base = 0:1] {
    set title base ? "Novel classes beside base ones: harmonic mean of both" : "All classes imprinted: accuracy"
    plot for [i = 1:9] rows(base, word(names, i)) using 4:5 with linespoints pt 7 ps 0.6 lw (i == 1 ? 3 : 1.5) \
        lc rgb word(colours, i) title word(names, i)
}
unset multiplot
