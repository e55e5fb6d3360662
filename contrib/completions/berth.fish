# fish completion for berth. Install into /usr/share/fish/vendor_completions.d.
# What there is to complete is asked from `berth … --help` and from the engine, so this file need not change when commands do.

function __berth_path --description 'The command typed so far, without flags'
    set -l groups container image network volume system
    set -l path
    set -l skip 0
    for word in (commandline -opc)[2..]
        if test $skip -eq 1
            set skip 0
            continue
        end
        if string match -q -- '-*' $word
            test (count $path) -eq 0; and contains -- $word -H --host -c --context --config -l --log-level; and set skip 1
            continue
        end
        if test (count $path) -eq 0; or begin; test (count $path) -eq 1; and contains -- $path[1] $groups; end
            set -a path $word
        else
            break
        end
    end
    string join \n -- $path
end

function __berth_commands
    berth (__berth_path) --help 2>/dev/null | awk '/Commands:$/ { on = 1; next } /^$/ { on = 0 } on { name = $1; $1 = ""; sub(/^ /, ""); print name "\t" $0 }'
end

function __berth_flags
    berth (__berth_path) --help 2>/dev/null | awk '/^(Global )?Options:$/ { on = 1; next } /^$/ { on = 0 }
        on && /^  (-|   )/ { n = ($1 ~ /,$/) ? 2 : 1; text = $0; sub(/^ *(-.,)? *--[^ ]+( [a-z][a-z0-9-]*)?  */, "", text); print $n "\t" text }'
end

function __berth_arguments
    set -l path (__berth_path)
    switch "$path"
        case '' container image network volume system
            __berth_commands
        case '*attach' '*exec' '*kill' '*pause' '*stop' '*stats' '*top' '*wait' '*port'
            berth ps --format '{{.Names}}\t{{.Image}}' 2>/dev/null
        case 'image*' rmi push tag history save run create 'container run' 'container create'
            berth images --format '{{if ne .Repository "<none>"}}{{.Repository}}:{{.Tag}}{{else}}{{.ID}}{{end}}\t{{.Size}}' 2>/dev/null
        case 'network*'
            berth network ls --format '{{.Name}}\t{{.Driver}}' 2>/dev/null
        case 'volume*'
            berth volume ls --format '{{.Name}}\t{{.Driver}}' 2>/dev/null
        case '*'
            berth ps -a --format '{{.Names}}\t{{.Status}}' 2>/dev/null
    end
end

complete -c berth -f
complete -c berth -n 'string match -q -- "-*" (commandline -ct)' -a '(__berth_flags)'
complete -c berth -n 'not string match -q -- "-*" (commandline -ct)' -a '(__berth_arguments)'
complete -c berth -n 'string match -qr "(cp|load|import|save|export|env-file|cidfile)" (commandline -opc)' -F
