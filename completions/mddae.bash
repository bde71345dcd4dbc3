# Made by: mddae completion bash
_mddae_completion() {
    local program="${1/#\~/$HOME}" typed="${COMP_WORDS[COMP_CWORD]}"
    local kind="" word="" head="" breaks="" value help
    COMPREPLY=()
    while IFS=$'\t' read -r value help; do
        if [[ -z $kind ]]; then
            kind=$value word=$help
            # Readline replaces only what stands behind the last of these, outside of quotes.
            [[ $COMP_WORDBREAKS == *=* ]] && breaks+="="
            [[ $COMP_WORDBREAKS == *:* ]] && breaks+=":"
            if [[ -n $breaks && $typed != [\"\']* && $word == *[$breaks]* ]]; then
                head=${word%"${word##*[$breaks]}"}
            fi
            continue
        fi
        value=${value#"$head"}
        [[ $typed == [\"\']* ]] || printf -v value %q "$value"
        COMPREPLY+=("$value")
    done < <(
        MDDAE_COMPLETE_LINE="${COMP_LINE:0:COMP_POINT}" \
            MDDAE_COMPLETE_REST="${COMP_LINE:COMP_POINT}" "$program" 2>/dev/null
    )
    if ((${#COMPREPLY[@]} == 0)); then
        [[ $kind == files ]] && compopt -o default
    elif ((${#COMPREPLY[@]} == 1)) && [[ ${COMPREPLY[0]} == *[=/:] ]]; then
        compopt -o nospace
    fi
}
complete -F _mddae_completion mddae
