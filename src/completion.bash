# Completion for bash of all tools of lowshot(1): options, and the words that an option takes, as the
# tool's own --help has them; else files.
_lowshot() {
    local tool=$1 word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} help choices
    if [[ ${tool##*/} == lowshot ]]; then
        if ((COMP_CWORD == 1)); then
            mapfile -t COMPREPLY < <(compgen -W "$("$tool" --help | sed -n 's/^  //p')" -- "$word")
            return
        fi
        tool="$tool ${COMP_WORDS[1]}"
    fi
    # One tool, or lowshot and one: two words.
    help=$($tool --help 2>/dev/null) || return
    choices=$(sed -nE "s/^ .*(^| )$before ([^ ]*\|[^ ]*)( .*)?\$/\2/p" <<<"$help" | sed "s/\[[^]]*]//g" | tr "|" " ")
    if [[ $word == -* ]]; then
        choices=$(grep -oE '^  (-., |    )--[a-z-]+' <<<"$help" | grep -oE -- '--[a-z-]+')
    elif [[ $before != -* || -z $choices ]]; then
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
        return
    fi
    mapfile -t COMPREPLY < <(compgen -W "$choices" -- "$word")
}
complete -o filenames -F _lowshot @TOOLS@ lowshot
