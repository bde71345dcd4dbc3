# Made by: mddae completion fish
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
