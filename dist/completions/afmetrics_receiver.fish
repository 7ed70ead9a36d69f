# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_afmetrics_receiver_global_optspecs
    string join \n h/help V/version
end

function __fish_afmetrics_receiver_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_afmetrics_receiver_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_afmetrics_receiver_using_subcommand
    set -l cmd (__fish_afmetrics_receiver_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_needs_command" -s h -l help -d 'Print help'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_needs_command" -s V -l version -d 'Print version'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_needs_command" -f -a "serve" -d 'Take documents and answer questions, until SIGTERM; SIGHUP reads the configuration again'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_needs_command" -f -a "token" -d 'Make, list and revoke tokens; a running receiver follows within a second'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_needs_command" -f -a "backup" -d 'Write a copy of the store to a file; a receiver may run meanwhile'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_needs_command" -f -a "restore" -d 'Put a copy that `backup` made into a folder; no receiver may run there'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_needs_command" -f -a "check" -d 'Look for damage: a line for each finding, and exit status 1. A receiver may run meanwhile'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_needs_command" -f -a "prune" -d 'Drop what is too old now, and make the file small; no receiver may run'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_needs_command" -f -a "forget" -d 'Erase a user, out of documents, summaries and the files\' bytes; no receiver may run'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_needs_command" -f -a "export" -d 'Write raw documents, as lines of JSON or as CSV; a receiver may run meanwhile'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_needs_command" -f -a "import" -d 'Take documents from files; no receiver may run'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_needs_command" -f -a "reference" -d 'Print what there is to know'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand serve" -l config -d 'Read what no flag says from FILE [default: /etc/afmetrics/receiver.toml, if it is there]' -r -F
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand serve" -l listen -d 'Where to listen' -r
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand serve" -l tls-cert -d 'The certificate and its chain (PEM); with --tls-key. Read again when it changes' -r -F
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand serve" -l tls-key -d 'The certificate\'s private key (PEM); with --tls-cert' -r -F
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand serve" -l keep-documents -d 'Keep raw documents for so many days' -r
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand serve" -l keep-summaries -d 'Keep summaries for so many days' -r
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand serve" -l rate-limit -d 'Take at most so many documents a second with each token, and ten seconds\' worth at once; 0: no limit' -r
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand serve" -l max-connections -d 'Serve at most so many connections at a time' -r
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand serve" -l request-timeout -d 'Cut a request off whose body does not arrive in SECONDS (and a second more for each 16 kB of it)' -r
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand serve" -l store -d 'The store\'s folder; it is made where there is none [default: $STATE_DIRECTORY, else /var/lib/afmetrics_receiver]' -r -F
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand serve" -s v -l verbose -d 'Log at level DEBUG'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand serve" -l insecure-http -d 'Speak plain HTTP on any address: a proxy in front does TLS; not with --tls-cert'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand serve" -l trust-loopback -d 'Let everybody on this machine read without a token; not with --insecure-http'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand serve" -l accept-unknown-kinds -d 'Take also documents whose kind is not known'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand serve" -s h -l help -d 'Print help'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand token; and not __fish_seen_subcommand_from create list revoke help" -s h -l help -d 'Print help'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand token; and not __fish_seen_subcommand_from create list revoke help" -f -a "create" -d 'Make a token and print it; it is never shown again'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand token; and not __fish_seen_subcommand_from create list revoke help" -f -a "list" -d 'List the tokens, without themselves'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand token; and not __fish_seen_subcommand_from create list revoke help" -f -a "revoke" -d 'End a token'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand token; and not __fish_seen_subcommand_from create list revoke help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand token; and __fish_seen_subcommand_from create" -l config -d 'Read what no flag says from FILE [default: /etc/afmetrics/receiver.toml, if it is there]' -r -F
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand token; and __fish_seen_subcommand_from create" -l facility -d 'The facility whose documents may be sent with it (`cluster` in them); with --viewer: that may be seen' -r
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand token; and __fish_seen_subcommand_from create" -l expires -d 'End it after so many days [default: never]' -r
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand token; and __fish_seen_subcommand_from create" -l note -d 'What it is for, to find it in the list' -r
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand token; and __fish_seen_subcommand_from create" -l store -d 'The store\'s folder; it is made where there is none [default: $STATE_DIRECTORY, else /var/lib/afmetrics_receiver]' -r -F
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand token; and __fish_seen_subcommand_from create" -l viewer -d 'A token for reading, not for sending; without --facility, of all facilities'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand token; and __fish_seen_subcommand_from create" -s h -l help -d 'Print help'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand token; and __fish_seen_subcommand_from list" -l config -d 'Read what no flag says from FILE [default: /etc/afmetrics/receiver.toml, if it is there]' -r -F
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand token; and __fish_seen_subcommand_from list" -l store -d 'The store\'s folder [default: $STATE_DIRECTORY, else /var/lib/afmetrics_receiver]' -r -F
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand token; and __fish_seen_subcommand_from list" -l json -d 'Print them as lines of JSON'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand token; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand token; and __fish_seen_subcommand_from revoke" -l config -d 'Read what no flag says from FILE [default: /etc/afmetrics/receiver.toml, if it is there]' -r -F
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand token; and __fish_seen_subcommand_from revoke" -l store -d 'The store\'s folder [default: $STATE_DIRECTORY, else /var/lib/afmetrics_receiver]' -r -F
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand token; and __fish_seen_subcommand_from revoke" -s h -l help -d 'Print help'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand token; and __fish_seen_subcommand_from help" -f -a "create" -d 'Make a token and print it; it is never shown again'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand token; and __fish_seen_subcommand_from help" -f -a "list" -d 'List the tokens, without themselves'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand token; and __fish_seen_subcommand_from help" -f -a "revoke" -d 'End a token'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand token; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand backup" -l config -d 'Read what no flag says from FILE [default: /etc/afmetrics/receiver.toml, if it is there]' -r -F
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand backup" -l store -d 'The store\'s folder [default: $STATE_DIRECTORY, else /var/lib/afmetrics_receiver]' -r -F
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand backup" -s h -l help -d 'Print help'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand restore" -l config -d 'Read what no flag says from FILE [default: /etc/afmetrics/receiver.toml, if it is there]' -r -F
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand restore" -l store -d 'The store\'s folder; it is made where there is none [default: $STATE_DIRECTORY, else /var/lib/afmetrics_receiver]' -r -F
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand restore" -l replace -d 'If there is a store already, keep it aside under another name'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand restore" -s y -l yes -d 'Do not ask; needed where there is no terminal'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand restore" -s h -l help -d 'Print help'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand check" -l config -d 'Read what no flag says from FILE [default: /etc/afmetrics/receiver.toml, if it is there]' -r -F
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand check" -l store -d 'The store\'s folder [default: $STATE_DIRECTORY, else /var/lib/afmetrics_receiver]' -r -F
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand check" -l deep -d 'Also add up all raw documents again, and compare with the summaries; reads everything'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand check" -s h -l help -d 'Print help'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand prune" -l config -d 'Read what no flag says from FILE [default: /etc/afmetrics/receiver.toml, if it is there]' -r -F
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand prune" -l store -d 'The store\'s folder [default: $STATE_DIRECTORY, else /var/lib/afmetrics_receiver]' -r -F
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand prune" -l keep-documents -d 'Keep raw documents for so many days [default: as `serve` was told last; all if it never ran]' -r
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand prune" -l keep-summaries -d 'Keep summaries for so many days [default: as `serve` was told last; all if it never ran]' -r
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand prune" -s y -l yes -d 'Do not ask; needed where there is no terminal'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand prune" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand forget" -l config -d 'Read what no flag says from FILE [default: /etc/afmetrics/receiver.toml, if it is there]' -r -F
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand forget" -l store -d 'The store\'s folder [default: $STATE_DIRECTORY, else /var/lib/afmetrics_receiver]' -r -F
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand forget" -l user -d 'The user\'s name as it stands in documents: the hash, if the collector publishes hashes' -r
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand forget" -l facility -d 'Only of this facility [default: of all]' -r
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand forget" -s y -l yes -d 'Do not ask; needed where there is no terminal'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand forget" -s h -l help -d 'Print help'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand export" -l config -d 'Read what no flag says from FILE [default: /etc/afmetrics/receiver.toml, if it is there]' -r -F
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand export" -l store -d 'The store\'s folder [default: $STATE_DIRECTORY, else /var/lib/afmetrics_receiver]' -r -F
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand export" -l facility -d 'Only of this facility; may be given more than once' -r
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand export" -l kind -d 'Only of this kind, such as condorjob or slurmjob; may be given more than once, but not with --csv' -r
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand export" -l from -d 'From this time on: 2026-11-23T00:00:00Z, a date (UTC), now, or a time ago such as -24h or -7d' -r
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand export" -l to -d 'Before this time' -r
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand export" -s o -l output -d 'The file to write, which must not be there yet [default: standard output]' -r -F
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand export" -l ndjson -d 'Lines of JSON, as `import` reads them (the default)'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand export" -l csv -d 'CSV with a header, of one kind: what the kind has no column for is in the last one, as JSON'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand export" -l skip-damaged -d 'Leave out what is damaged and go on; the exit status is 1 then, too'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand export" -s h -l help -d 'Print help'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand import" -l config -d 'Read what no flag says from FILE [default: /etc/afmetrics/receiver.toml, if it is there]' -r -F
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand import" -l time -d 'The time of documents that say none, such as 2026-11-23T04:05:06Z [default: when the file was changed last]' -r
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand import" -l store -d 'The store\'s folder; it is made where there is none [default: $STATE_DIRECTORY, else /var/lib/afmetrics_receiver]' -r -F
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand import" -l accept-unknown-kinds -d 'Take also documents whose kind is not known'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand import" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand reference; and not __fish_seen_subcommand_from config" -s h -l help -d 'Print help'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand reference; and not __fish_seen_subcommand_from config" -f -a "config" -d 'The sample configuration file: every option, with its default'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand reference; and __fish_seen_subcommand_from config" -s h -l help -d 'Print help'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand help; and not __fish_seen_subcommand_from serve token backup restore check prune forget export import reference help" -f -a "serve" -d 'Take documents and answer questions, until SIGTERM; SIGHUP reads the configuration again'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand help; and not __fish_seen_subcommand_from serve token backup restore check prune forget export import reference help" -f -a "token" -d 'Make, list and revoke tokens; a running receiver follows within a second'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand help; and not __fish_seen_subcommand_from serve token backup restore check prune forget export import reference help" -f -a "backup" -d 'Write a copy of the store to a file; a receiver may run meanwhile'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand help; and not __fish_seen_subcommand_from serve token backup restore check prune forget export import reference help" -f -a "restore" -d 'Put a copy that `backup` made into a folder; no receiver may run there'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand help; and not __fish_seen_subcommand_from serve token backup restore check prune forget export import reference help" -f -a "check" -d 'Look for damage: a line for each finding, and exit status 1. A receiver may run meanwhile'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand help; and not __fish_seen_subcommand_from serve token backup restore check prune forget export import reference help" -f -a "prune" -d 'Drop what is too old now, and make the file small; no receiver may run'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand help; and not __fish_seen_subcommand_from serve token backup restore check prune forget export import reference help" -f -a "forget" -d 'Erase a user, out of documents, summaries and the files\' bytes; no receiver may run'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand help; and not __fish_seen_subcommand_from serve token backup restore check prune forget export import reference help" -f -a "export" -d 'Write raw documents, as lines of JSON or as CSV; a receiver may run meanwhile'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand help; and not __fish_seen_subcommand_from serve token backup restore check prune forget export import reference help" -f -a "import" -d 'Take documents from files; no receiver may run'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand help; and not __fish_seen_subcommand_from serve token backup restore check prune forget export import reference help" -f -a "reference" -d 'Print what there is to know'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand help; and not __fish_seen_subcommand_from serve token backup restore check prune forget export import reference help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand help; and __fish_seen_subcommand_from token" -f -a "create" -d 'Make a token and print it; it is never shown again'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand help; and __fish_seen_subcommand_from token" -f -a "list" -d 'List the tokens, without themselves'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand help; and __fish_seen_subcommand_from token" -f -a "revoke" -d 'End a token'
complete -c afmetrics_receiver -n "__fish_afmetrics_receiver_using_subcommand help; and __fish_seen_subcommand_from reference" -f -a "config" -d 'The sample configuration file: every option, with its default'
