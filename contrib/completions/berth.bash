# bash completion for berth. Install as /usr/share/bash-completion/completions/berth.
# What there is to complete is asked from `berth … --help` and from the engine, so this file need not change when commands do.

# _berth_help WORD...: the help of a command, without waiting for an engine.
_berth_help() { berth "$@" --help 2>/dev/null; }

# _berth_commands WORD...: the subcommands of a command.
_berth_commands() {
    _berth_help "$@" | awk '/^[A-Z][A-Za-z ]*Commands:$|^Commands:$/ { on = 1; next } /^$/ { on = 0 } on { print $1 }'
}

# _berth_flags WORD...: the flags of a command.
_berth_flags() {
    _berth_help "$@" | awk '/^(Global )?Options:$/ { on = 1; next } /^$/ { on = 0 }
        on && /^  (-|   )/ { for (i = 1; i <= 2; i++) if ($i ~ /^-/) { sub(/,$/, "", $i); print $i } } END { print "--help" }'
}

# _berth_takes_value FLAG WORD...: whether a flag of a command has a value.
_berth_takes_value() {
    local flag=$1
    shift
    _berth_help "$@" | awk -v flag="$flag" '/^(Global )?Options:$/ { on = 1; next }
        on && /^  (-|   )/ { n = ($1 ~ /,$/) ? 2 : 1; short = $1; sub(/,$/, "", short)
            if ((short == flag || $n == flag) && $0 ~ ($n " [a-z][a-z0-9-]*   ")) found = 1 } END { exit !found }'
}

_berth_objects() {
    case $1 in
        containers) berth ps -a --format '{{.Names}}' ;;
        running) berth ps --format '{{.Names}}' ;;
        images) berth images --format '{{if ne .Repository "<none>"}}{{.Repository}}:{{.Tag}}{{else}}{{.ID}}{{end}}' ;;
        networks) berth network ls --format '{{.Name}}' ;;
        volumes) berth volume ls -q ;;
    esac 2>/dev/null
}

_berth() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} word i
    local -a path=()
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [[ $word == -* ]]; then
            [[ ${#path[@]} -eq 0 && $word =~ ^(-H|--host|-c|--context|--config|-l|--log-level)$ ]] && ((i++))
            continue
        fi
        [[ ${#path[@]} -eq 0 || ( ${#path[@]} -eq 1 && ${path[0]} =~ ^(container|image|network|volume|system)$ ) ]] || break
        path+=("$word")
    done

    if [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_berth_flags "${path[@]}")" -- "$cur")
        return
    fi
    case $prev in
        --network | --net) mapfile -t COMPREPLY < <(compgen -W "bridge host none $(_berth_objects networks)" -- "$cur"); return ;;
        --volumes-from) mapfile -t COMPREPLY < <(compgen -W "$(_berth_objects containers)" -- "$cur"); return ;;
        --pull) mapfile -t COMPREPLY < <(compgen -W "always missing never" -- "$cur"); return ;;
        --restart) mapfile -t COMPREPLY < <(compgen -W "no always unless-stopped on-failure" -- "$cur"); return ;;
        -v | --volume | --env-file | --label-file | --cidfile | -o | --output | -i | --input | --config)
            [[ ${path[*]} =~ (exec|run|create|start)$ && $prev == -i ]] || { mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return; } ;;
        -*) if [[ $prev != *=* ]] && _berth_takes_value "$prev" "${path[@]}"; then return; fi ;;
    esac

    local words=
    case "${path[*]}" in
        "" | container | image | network | volume | system) words=$(_berth_commands "${path[@]}") ;;
        *attach | *exec | *kill | *pause | *stop | *stats | *top | *wait | *port) words=$(_berth_objects running) ;;
        *unpause | *start | *restart | *rm | *logs | *rename | *diff | *export | *commit | *update)
            case "${path[0]}" in
                image) words=$(_berth_objects images) ;;
                network) words=$(_berth_objects networks) ;;
                volume) words=$(_berth_objects volumes) ;;
                *) words=$(_berth_objects containers) ;;
            esac ;;
        run | create | "container run" | "container create" | rmi | push | tag | history | save | image*) words=$(_berth_objects images) ;;
        inspect) words="$(_berth_objects containers) $(_berth_objects images)" ;;
        "container inspect") words=$(_berth_objects containers) ;;
        "network connect" | "network disconnect") words="$(_berth_objects networks) $(_berth_objects containers)" ;;
        network*) words=$(_berth_objects networks) ;;
        volume*) words=$(_berth_objects volumes) ;;
        *cp) words=$(_berth_objects containers | sed 's/$/:/') ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
    # names with a colon: bash has split the word there
    declare -F __ltrim_colon_completions >/dev/null && __ltrim_colon_completions "$cur"
    [[ ${#COMPREPLY[@]} -gt 0 ]] || mapfile -t COMPREPLY < <(compgen -f -- "$cur")
}

complete -o nosort -F _berth berth
