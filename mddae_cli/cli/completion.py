"""``mddae completion``: scripts that let shells complete what is typed."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from mddae_cli.cli import console
from mddae_cli.cli.options import Verbose

SHORT_HELP = "Print the completion of a shell."
HELP = (
    "Example: mddae completion zsh > ~/.zfunc/_mddae\n\n"
    "Prints a script that lets a shell complete commands, options, names of attributes and "
    "classes (of the model on the line), models and data sets. Where it belongs:\n\n"
    "bash: ~/.local/share/bash-completion/completions/mddae\n\n"
    "zsh: ~/.zfunc/_mddae, with fpath+=(~/.zfunc) before compinit in ~/.zshrc\n\n"
    "fish: ~/.config/fish/completions/mddae.fish\n\n"
    "PowerShell: at the end of the file $PROFILE"
)

_BASH = r"""
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
"""

_ZSH = r"""
_mddae() {
    local -a reply plain open
    local kind item value help before behind
    integer ret=1
    before="${(j: :)words[1,CURRENT-1]} $QIPREFIX$PREFIX"
    behind="${(j: :)words[CURRENT+1,-1]}"
    reply=("${(@f)$(
        MDDAE_COMPLETE_LINE=$before MDDAE_COMPLETE_REST=$behind ${~${(Q)words[1]}} 2>/dev/null
    )}")
    kind=${reply[1]%%$'\t'*}
    for item in "${(@)reply[2,-1]}"; do
        value=${item%%$'\t'*} help=${item#*$'\t'}
        item=${${value//\\/\\\\}//:/\\:}${help:+:$help}
        if [[ $value == *[=/:] ]]; then open+=("$item"); else plain+=("$item"); fi
    done
    (($#plain)) && _describe -t values value plain && ret=0
    (($#open)) && _describe -t values value open -S '' && ret=0
    if [[ $kind == files && $#reply -eq 1 ]]; then
        compset -P '--[^=]#='
        _files && ret=0
    fi
    return ret
}
# Found in fpath, this file is the function at its first call; sourced, it is none.
if [[ $funcstack[1] == _mddae ]]; then
    _mddae "$@"
else
    compdef _mddae mddae
fi
"""

_FISH = r"""
function __mddae_complete
    set -l whole (commandline --current-process | string collect --no-trim-newlines)
    set -l before (commandline --current-process --cut-at-cursor | string collect)
    set -l behind (string sub --start (math (string length -- "$before") + 1) -- "$whole")
    set -l program (commandline --current-process --tokenize)[1]
    set -l reply (env MDDAE_COMPLETE_LINE="$before" MDDAE_COMPLETE_REST="$behind" \
        (string replace -r '^~' "$HOME" -- $program) 2>/dev/null)
    if set -q reply[2]
        printf '%s\n' $reply[2..-1]
    else if string match -q 'files*' -- "$reply[1]"
        set -l token (commandline --current-token --cut-at-cursor)
        set -l head (string match -r -- '^--[^=]*=' "$token")
        for path in (__fish_complete_path (string replace -r -- '^--[^=]*=' '' "$token"))
            printf '%s%s\n' "$head" $path
        end
    end
end
complete --command mddae --no-files --arguments '(__mddae_complete)'
"""

_POWERSHELL = r"""
Register-ArgumentCompleter -Native -CommandName mddae -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $text = $commandAst.Extent.Text
    $at = $cursorPosition - $commandAst.Extent.StartOffset
    try {
        $Env:MDDAE_COMPLETE_LINE = $text.PadRight($at).Substring(0, $at)
        $Env:MDDAE_COMPLETE_REST = if ($at -lt $text.Length) { $text.Substring($at) } else { '' }
        $reply = @(& $commandAst.GetCommandName() 2>$null)
    } finally {
        Remove-Item Env:MDDAE_COMPLETE_LINE, Env:MDDAE_COMPLETE_REST -ErrorAction Ignore
    }
    $reply | Select-Object -Skip 1 | ForEach-Object {
        $value, $help = $_ -split "`t", 2
        $typed = $value
        if ($value -match '[\s''"$`;,|&(){}@#]') { $typed = "'" + $value.Replace("'", "''") + "'" }
        if (-not $help) { $help = $value }
        [System.Management.Automation.CompletionResult]::new(
            $typed, $value, 'ParameterValue', $help)
    }
}
"""


class Shell(StrEnum):
    """A shell whose completion is known."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"
    POWERSHELL = "powershell"


def script_of(shell: Shell) -> str:
    """Return the completion of a shell as a file's text.

    Args:
        shell: The shell.
    """
    bodies = {
        Shell.BASH: _BASH,
        Shell.ZSH: _ZSH,
        Shell.FISH: _FISH,
        Shell.POWERSHELL: _POWERSHELL,
    }
    first = "#compdef mddae\n" if shell is Shell.ZSH else ""
    return f"{first}# Made by: mddae completion {shell}{bodies[shell]}"


def command(
    shell: Annotated[Shell, typer.Argument(metavar="SHELL", help=f"{', '.join(Shell)}.")],
    verbose: Verbose = False,
) -> None:
    """Print the script."""
    console.say(script_of(shell).rstrip("\n"))
