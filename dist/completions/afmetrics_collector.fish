# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_afmetrics_collector_global_optspecs
    string join \n s/ssh S/ssh-history j/jupyter b/batch slurm host heartbeat n/namespace= l/label= exclude-finished-pods q/queue= exclude-owner= removed-jobs schedd= pool= queue-totals= no-queued-jobs runtime= job-details mount= t/token= token-file= c/cluster= u/url= batch-size= ca-file= max-connections= max-streams= request-timeout= gzip deliver-for= spool-max-size= spool-max-age= d/debug print o/obfuscate-users z/salt= salt-file= hash= O/obfuscate-hosts= host-prefix= g/group= login-node= silence= deadline= ssh-deadline= jupyter-deadline= batch-deadline= host-deadline= textfile= config= state-dir= root= log-level= v/verbose very-verbose version h/help
end

function __fish_afmetrics_collector_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_afmetrics_collector_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_afmetrics_collector_using_subcommand
    set -l cmd (__fish_afmetrics_collector_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -s n -l namespace -d 'With -j: the namespace of the facility\'s own notebooks [default: af-jupyter]' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -s l -l label -d 'With -j: the label that names the user, or a selector that begins with it (owner=x)' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -s q -l queue -d 'With -b: count the jobs that CONSTRAINT selects, as queue NAME (all: has none); repeatable' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -l exclude-owner -d 'With -b or --slurm: leave this owner\'s jobs out; repeatable [default: atlas-coffea]' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -l schedd -d 'With -b: ask this schedd of HTCondor, one after the other if there are several; repeatable [default: the local one]' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -l pool -d 'With --schedd: the central manager that knows the schedds [default: HTCondor\'s own configuration]' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -l queue-totals -d 'With -q: what counts the jobs' -r -f -a "jobs\t'The schedd (`condor_q`)'
schedd-ad\t'The ads of schedds and slots in the pool, up to 5 minutes old, 11 where the schedd has died (`condor_status`): costs a schedd nothing; needs --schedd, and queues without a constraint'"
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -l runtime -d 'With -b: which runs of a job its Runtime is the sum of' -r -f -a "past\t'Those that are over, as ever: 0 for a job on its first run'
live\t'The one that goes on, too'"
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -l mount -d 'With --host: a path whose file system to report; repeatable [default: /home /data /scratch, those that exist]' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -s t -l token -d 'The facility\'s token. Every user of this node can see it in `ps`: prefer --token-file' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -l token-file -d 'Read the token from this file [or the environment: AFMETRICS_TOKEN]' -r -F
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -s c -l cluster -d 'The facility\'s name' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -s u -l url -d 'The endpoint' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -l batch-size -d 'Send arrays of at most N documents and 900 kB instead of one document a request' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -l ca-file -d 'Trust the certificate authorities in this file (PEM) besides the system\'s' -r -F
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -l max-connections -d 'At most N connections to the endpoint over HTTP/1.1' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -l max-streams -d 'At most N requests at a time over HTTP/2' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -l request-timeout -d 'Give a request up that is not answered in full within SECONDS' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -l deliver-for -d 'Stop delivering after SECONDS in all and leave the rest to the next round' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -l spool-max-size -d 'Keep at most so many MiB of documents that cannot be delivered; beyond, the oldest are dropped [default: 256]' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -l spool-max-age -d 'Keep documents that cannot be delivered for at most so many days [default: 14]' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -s z -l salt -d 'With -o: what is hashed before the name. Every user of this node can see it in `ps`: prefer --salt-file' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -l salt-file -d 'Read the salt from this file [or the environment: AFMETRICS_SALT]' -r -F
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -l hash -d 'With -o: how names are hashed [default: md5]' -r -f -a "md5\t'Last 8 hex digits of MD5(salt + name), as documented'
sha256\t'First 8 hex digits of SHA-256(salt + name), as the old script does in the field'
hmac-sha256\t'First 16 hex digits of HMAC-SHA-256 with the salt as key: recommended'"
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -s O -l obfuscate-hosts -d 'Name this node `atlas` + the digits of its name + `.DOMAIN`' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -l host-prefix -d 'With -O: what stands before the digits' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -s g -l group -d 'Only users of this Unix group, primary or supplementary' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -l login-node -d 'This node\'s name, instead of what gethostname() says' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -l silence -d 'Give a source up after SECONDS without a byte from it' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -l deadline -d 'Give a collector up after SECONDS in all' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -l ssh-deadline -d 'Give the collector up after SECONDS in all, instead of deadline_secs at the top' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -l jupyter-deadline -d 'Give the collector up after SECONDS in all, instead of deadline_secs at the top' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -l batch-deadline -d 'Give a collector of batch jobs up after SECONDS in all, instead of deadline_secs at the top' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -l host-deadline -d 'Give a collector of this node\'s numbers up after SECONDS in all, instead of deadline_secs at the top' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -l textfile -d 'Write the numbers of the round to FILE, for node_exporter\'s textfile collector' -r -F
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -l config -d 'Read what no flag says from FILE [default: /etc/afmetrics/collector.toml, if it is there]' -r -F
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -l state-dir -d 'Where to keep what the next round needs, and what cannot be delivered yet [default: $STATE_DIRECTORY, /var/lib/afmetrics, $XDG_STATE_HOME/afmetrics, ~/.local/state/afmetrics: the first that can be written]' -r -F
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -l root -d 'Read /proc, /run and the mounts below DIR: for a container that sees its host there' -r -F
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -l log-level -d 'Log lines of this level and the graver ones' -r -f -a "error\t'Somebody has to act'
warn\t'Worth a look if it comes again'
info\t'A line a round, and what is not as usual'
debug\t'Everything'"
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -s s -l ssh -d 'Collect the users who are logged in (`who`)'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -s S -l ssh-history -d 'Collect also those who logged in within the last 5 minutes (`last`); implies -s'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -s j -l jupyter -d 'Collect the Jupyter users (Kubernetes; KUBECONFIG, ~/.kube/config or the service account)'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -s b -l batch -d 'Collect the batch jobs of HTCondor (`condor_q`, `condor_history`); on a node without condor_q and with squeue, those of Slurm'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -l slurm -d 'Collect the batch jobs and partitions of Slurm (`squeue`, `sacct`)'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -l host -d 'Collect load, memory, network traffic and disk use of this node'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -l heartbeat -d 'Add a document about the round itself, also if there is nothing else: what became of each collector'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -l exclude-finished-pods -d 'With -j: leave out pods that Succeeded or Failed'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -l removed-jobs -d 'With -b: report also jobs that were removed (condor_rm) and left the queue; of Slurm they always are'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -l no-queued-jobs -d 'With -b: do not list the jobs in the queue of HTCondor, only report those that ended, and count queues (-q)'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -l job-details -d 'With -b: add schedd, cores, memory and, of held jobs, hold_reason_code to HTCondor\'s jobs'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -l gzip -d 'Pack the bodies of requests that are longer than 1 kB (Content-Encoding: gzip)'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -s d -l debug -d 'Send nothing: append the documents, pretty-printed, to ssh.json, jupyter-debug.json, condor.json, slurm.json, host.json and round.json (--heartbeat) in the current directory'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -l print -d 'Send nothing: write the documents to standard output, one a line'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -s o -l obfuscate-users -d 'Hash user names'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -s v -l verbose -d 'Log at level INFO; twice: DEBUG'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -l very-verbose -d 'Log at level DEBUG (-vv)'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -l version -d 'Print the version'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -f -a "run" -d 'Do a round every five minutes until SIGTERM; SIGHUP reads the configuration again'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -f -a "check" -d 'Read the configuration, try every source and every endpoint, and say what was found; sends and stores nothing'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -f -a "reference" -d 'Print what there is to know'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -f -a "spool" -d 'Look at what waits for delivery, what was rejected and what is damaged, and deal with it; alone it is `spool list`'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -f -a "record" -d 'Write what a round reads into a new folder, with all names replaced, as a bug report; sends nothing'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_needs_command" -f -a "replay" -d 'Run the round of a recorded folder, and print its documents to standard output; reads nothing else'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -s n -l namespace -d 'With -j: the namespace of the facility\'s own notebooks [default: af-jupyter]' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -s l -l label -d 'With -j: the label that names the user, or a selector that begins with it (owner=x)' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -s q -l queue -d 'With -b: count the jobs that CONSTRAINT selects, as queue NAME (all: has none); repeatable' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -l exclude-owner -d 'With -b or --slurm: leave this owner\'s jobs out; repeatable [default: atlas-coffea]' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -l schedd -d 'With -b: ask this schedd of HTCondor, one after the other if there are several; repeatable [default: the local one]' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -l pool -d 'With --schedd: the central manager that knows the schedds [default: HTCondor\'s own configuration]' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -l queue-totals -d 'With -q: what counts the jobs' -r -f -a "jobs\t'The schedd (`condor_q`)'
schedd-ad\t'The ads of schedds and slots in the pool, up to 5 minutes old, 11 where the schedd has died (`condor_status`): costs a schedd nothing; needs --schedd, and queues without a constraint'"
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -l runtime -d 'With -b: which runs of a job its Runtime is the sum of' -r -f -a "past\t'Those that are over, as ever: 0 for a job on its first run'
live\t'The one that goes on, too'"
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -l mount -d 'With --host: a path whose file system to report; repeatable [default: /home /data /scratch, those that exist]' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -s t -l token -d 'The facility\'s token. Every user of this node can see it in `ps`: prefer --token-file' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -l token-file -d 'Read the token from this file [or the environment: AFMETRICS_TOKEN]' -r -F
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -s c -l cluster -d 'The facility\'s name' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -s u -l url -d 'The endpoint' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -l batch-size -d 'Send arrays of at most N documents and 900 kB instead of one document a request' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -l ca-file -d 'Trust the certificate authorities in this file (PEM) besides the system\'s' -r -F
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -l max-connections -d 'At most N connections to the endpoint over HTTP/1.1' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -l max-streams -d 'At most N requests at a time over HTTP/2' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -l request-timeout -d 'Give a request up that is not answered in full within SECONDS' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -l deliver-for -d 'Stop delivering after SECONDS in all and leave the rest to the next round' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -l spool-max-size -d 'Keep at most so many MiB of documents that cannot be delivered; beyond, the oldest are dropped [default: 256]' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -l spool-max-age -d 'Keep documents that cannot be delivered for at most so many days [default: 14]' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -s z -l salt -d 'With -o: what is hashed before the name. Every user of this node can see it in `ps`: prefer --salt-file' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -l salt-file -d 'Read the salt from this file [or the environment: AFMETRICS_SALT]' -r -F
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -l hash -d 'With -o: how names are hashed [default: md5]' -r -f -a "md5\t'Last 8 hex digits of MD5(salt + name), as documented'
sha256\t'First 8 hex digits of SHA-256(salt + name), as the old script does in the field'
hmac-sha256\t'First 16 hex digits of HMAC-SHA-256 with the salt as key: recommended'"
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -s O -l obfuscate-hosts -d 'Name this node `atlas` + the digits of its name + `.DOMAIN`' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -l host-prefix -d 'With -O: what stands before the digits' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -s g -l group -d 'Only users of this Unix group, primary or supplementary' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -l login-node -d 'This node\'s name, instead of what gethostname() says' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -l silence -d 'Give a source up after SECONDS without a byte from it' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -l deadline -d 'Give a collector up after SECONDS in all' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -l ssh-deadline -d 'Give the collector up after SECONDS in all, instead of deadline_secs at the top' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -l jupyter-deadline -d 'Give the collector up after SECONDS in all, instead of deadline_secs at the top' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -l batch-deadline -d 'Give a collector of batch jobs up after SECONDS in all, instead of deadline_secs at the top' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -l host-deadline -d 'Give a collector of this node\'s numbers up after SECONDS in all, instead of deadline_secs at the top' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -l textfile -d 'Write the numbers of the round to FILE, for node_exporter\'s textfile collector' -r -F
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -l config -d 'Read what no flag says from FILE [default: /etc/afmetrics/collector.toml, if it is there]' -r -F
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -l state-dir -d 'Where to keep what the next round needs, and what cannot be delivered yet [default: $STATE_DIRECTORY, /var/lib/afmetrics, $XDG_STATE_HOME/afmetrics, ~/.local/state/afmetrics: the first that can be written]' -r -F
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -l root -d 'Read /proc, /run and the mounts below DIR: for a container that sees its host there' -r -F
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -l log-level -d 'Log lines of this level and the graver ones' -r -f -a "error\t'Somebody has to act'
warn\t'Worth a look if it comes again'
info\t'A line a round, and what is not as usual'
debug\t'Everything'"
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -l interval -d 'Do a round every SECONDS, at times that are the node\'s own' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -l listen -d 'Answer to GET /metrics and /healthz at this loopback address and port' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -s s -l ssh -d 'Collect the users who are logged in (`who`)'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -s S -l ssh-history -d 'Collect also those who logged in within the last 5 minutes (`last`); implies -s'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -s j -l jupyter -d 'Collect the Jupyter users (Kubernetes; KUBECONFIG, ~/.kube/config or the service account)'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -s b -l batch -d 'Collect the batch jobs of HTCondor (`condor_q`, `condor_history`); on a node without condor_q and with squeue, those of Slurm'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -l slurm -d 'Collect the batch jobs and partitions of Slurm (`squeue`, `sacct`)'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -l host -d 'Collect load, memory, network traffic and disk use of this node'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -l heartbeat -d 'Add a document about the round itself, also if there is nothing else: what became of each collector'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -l exclude-finished-pods -d 'With -j: leave out pods that Succeeded or Failed'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -l removed-jobs -d 'With -b: report also jobs that were removed (condor_rm) and left the queue; of Slurm they always are'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -l no-queued-jobs -d 'With -b: do not list the jobs in the queue of HTCondor, only report those that ended, and count queues (-q)'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -l job-details -d 'With -b: add schedd, cores, memory and, of held jobs, hold_reason_code to HTCondor\'s jobs'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -l gzip -d 'Pack the bodies of requests that are longer than 1 kB (Content-Encoding: gzip)'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -s d -l debug -d 'Send nothing: append the documents, pretty-printed, to ssh.json, jupyter-debug.json, condor.json, slurm.json, host.json and round.json (--heartbeat) in the current directory'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -l print -d 'Send nothing: write the documents to standard output, one a line'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -s o -l obfuscate-users -d 'Hash user names'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -s v -l verbose -d 'Log at level INFO; twice: DEBUG'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -l very-verbose -d 'Log at level DEBUG (-vv)'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -s n -l namespace -d 'With -j: the namespace of the facility\'s own notebooks [default: af-jupyter]' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -s l -l label -d 'With -j: the label that names the user, or a selector that begins with it (owner=x)' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -s q -l queue -d 'With -b: count the jobs that CONSTRAINT selects, as queue NAME (all: has none); repeatable' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -l exclude-owner -d 'With -b or --slurm: leave this owner\'s jobs out; repeatable [default: atlas-coffea]' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -l schedd -d 'With -b: ask this schedd of HTCondor, one after the other if there are several; repeatable [default: the local one]' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -l pool -d 'With --schedd: the central manager that knows the schedds [default: HTCondor\'s own configuration]' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -l queue-totals -d 'With -q: what counts the jobs' -r -f -a "jobs\t'The schedd (`condor_q`)'
schedd-ad\t'The ads of schedds and slots in the pool, up to 5 minutes old, 11 where the schedd has died (`condor_status`): costs a schedd nothing; needs --schedd, and queues without a constraint'"
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -l runtime -d 'With -b: which runs of a job its Runtime is the sum of' -r -f -a "past\t'Those that are over, as ever: 0 for a job on its first run'
live\t'The one that goes on, too'"
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -l mount -d 'With --host: a path whose file system to report; repeatable [default: /home /data /scratch, those that exist]' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -s t -l token -d 'The facility\'s token. Every user of this node can see it in `ps`: prefer --token-file' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -l token-file -d 'Read the token from this file [or the environment: AFMETRICS_TOKEN]' -r -F
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -s c -l cluster -d 'The facility\'s name' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -s u -l url -d 'The endpoint' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -l batch-size -d 'Send arrays of at most N documents and 900 kB instead of one document a request' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -l ca-file -d 'Trust the certificate authorities in this file (PEM) besides the system\'s' -r -F
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -l max-connections -d 'At most N connections to the endpoint over HTTP/1.1' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -l max-streams -d 'At most N requests at a time over HTTP/2' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -l request-timeout -d 'Give a request up that is not answered in full within SECONDS' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -l deliver-for -d 'Stop delivering after SECONDS in all and leave the rest to the next round' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -l spool-max-size -d 'Keep at most so many MiB of documents that cannot be delivered; beyond, the oldest are dropped [default: 256]' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -l spool-max-age -d 'Keep documents that cannot be delivered for at most so many days [default: 14]' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -s z -l salt -d 'With -o: what is hashed before the name. Every user of this node can see it in `ps`: prefer --salt-file' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -l salt-file -d 'Read the salt from this file [or the environment: AFMETRICS_SALT]' -r -F
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -l hash -d 'With -o: how names are hashed [default: md5]' -r -f -a "md5\t'Last 8 hex digits of MD5(salt + name), as documented'
sha256\t'First 8 hex digits of SHA-256(salt + name), as the old script does in the field'
hmac-sha256\t'First 16 hex digits of HMAC-SHA-256 with the salt as key: recommended'"
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -s O -l obfuscate-hosts -d 'Name this node `atlas` + the digits of its name + `.DOMAIN`' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -l host-prefix -d 'With -O: what stands before the digits' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -s g -l group -d 'Only users of this Unix group, primary or supplementary' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -l login-node -d 'This node\'s name, instead of what gethostname() says' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -l silence -d 'Give a source up after SECONDS without a byte from it' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -l deadline -d 'Give a collector up after SECONDS in all' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -l ssh-deadline -d 'Give the collector up after SECONDS in all, instead of deadline_secs at the top' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -l jupyter-deadline -d 'Give the collector up after SECONDS in all, instead of deadline_secs at the top' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -l batch-deadline -d 'Give a collector of batch jobs up after SECONDS in all, instead of deadline_secs at the top' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -l host-deadline -d 'Give a collector of this node\'s numbers up after SECONDS in all, instead of deadline_secs at the top' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -l textfile -d 'Write the numbers of the round to FILE, for node_exporter\'s textfile collector' -r -F
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -l config -d 'Read what no flag says from FILE [default: /etc/afmetrics/collector.toml, if it is there]' -r -F
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -l state-dir -d 'Where to keep what the next round needs, and what cannot be delivered yet [default: $STATE_DIRECTORY, /var/lib/afmetrics, $XDG_STATE_HOME/afmetrics, ~/.local/state/afmetrics: the first that can be written]' -r -F
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -l root -d 'Read /proc, /run and the mounts below DIR: for a container that sees its host there' -r -F
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -l log-level -d 'Log lines of this level and the graver ones' -r -f -a "error\t'Somebody has to act'
warn\t'Worth a look if it comes again'
info\t'A line a round, and what is not as usual'
debug\t'Everything'"
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -s s -l ssh -d 'Collect the users who are logged in (`who`)'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -s S -l ssh-history -d 'Collect also those who logged in within the last 5 minutes (`last`); implies -s'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -s j -l jupyter -d 'Collect the Jupyter users (Kubernetes; KUBECONFIG, ~/.kube/config or the service account)'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -s b -l batch -d 'Collect the batch jobs of HTCondor (`condor_q`, `condor_history`); on a node without condor_q and with squeue, those of Slurm'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -l slurm -d 'Collect the batch jobs and partitions of Slurm (`squeue`, `sacct`)'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -l host -d 'Collect load, memory, network traffic and disk use of this node'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -l heartbeat -d 'Add a document about the round itself, also if there is nothing else: what became of each collector'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -l exclude-finished-pods -d 'With -j: leave out pods that Succeeded or Failed'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -l removed-jobs -d 'With -b: report also jobs that were removed (condor_rm) and left the queue; of Slurm they always are'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -l no-queued-jobs -d 'With -b: do not list the jobs in the queue of HTCondor, only report those that ended, and count queues (-q)'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -l job-details -d 'With -b: add schedd, cores, memory and, of held jobs, hold_reason_code to HTCondor\'s jobs'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -l gzip -d 'Pack the bodies of requests that are longer than 1 kB (Content-Encoding: gzip)'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -s d -l debug -d 'Send nothing: append the documents, pretty-printed, to ssh.json, jupyter-debug.json, condor.json, slurm.json, host.json and round.json (--heartbeat) in the current directory'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -l print -d 'Send nothing: write the documents to standard output, one a line'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -s o -l obfuscate-users -d 'Hash user names'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -s v -l verbose -d 'Log at level INFO; twice: DEBUG'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -l very-verbose -d 'Log at level DEBUG (-vv)'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand reference; and not __fish_seen_subcommand_from config" -s h -l help -d 'Print help'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand reference; and not __fish_seen_subcommand_from config" -f -a "config" -d 'The sample configuration file: every option, with its default'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand reference; and __fish_seen_subcommand_from config" -s h -l help -d 'Print help'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and not __fish_seen_subcommand_from list show retry drop deliver" -l config -d 'Read what no flag says from FILE [default: /etc/afmetrics/collector.toml, if it is there]' -r -F
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and not __fish_seen_subcommand_from list show retry drop deliver" -l state-dir -d 'Where to keep what the next round needs, and what cannot be delivered yet [default: $STATE_DIRECTORY, /var/lib/afmetrics, $XDG_STATE_HOME/afmetrics, ~/.local/state/afmetrics: the first that can be written]' -r -F
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and not __fish_seen_subcommand_from list show retry drop deliver" -l root -d 'Read /proc, /run and the mounts below DIR: for a container that sees its host there' -r -F
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and not __fish_seen_subcommand_from list show retry drop deliver" -l log-level -d 'Log lines of this level and the graver ones' -r -f -a "error\t'Somebody has to act'
warn\t'Worth a look if it comes again'
info\t'A line a round, and what is not as usual'
debug\t'Everything'"
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and not __fish_seen_subcommand_from list show retry drop deliver" -l json -d 'Print the list as lines of JSON'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and not __fish_seen_subcommand_from list show retry drop deliver" -s v -l verbose -d 'Log at level INFO; twice: DEBUG'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and not __fish_seen_subcommand_from list show retry drop deliver" -l very-verbose -d 'Log at level DEBUG (-vv)'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and not __fish_seen_subcommand_from list show retry drop deliver" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and not __fish_seen_subcommand_from list show retry drop deliver" -f -a "list" -d 'List what is in the spool, oldest first; changes nothing'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and not __fish_seen_subcommand_from list show retry drop deliver" -f -a "show" -d 'Print a batch as lines of JSON: its header, then the documents that wait, or the rejected ones with the answers; changes nothing'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and not __fish_seen_subcommand_from list show retry drop deliver" -f -a "retry" -d 'Let rejected documents wait for delivery again, once what was wrong has been mended'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and not __fish_seen_subcommand_from list show retry drop deliver" -f -a "drop" -d 'Remove batches, waiting, rejected or damaged: their documents are lost'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and not __fish_seen_subcommand_from list show retry drop deliver" -f -a "deliver" -d 'Deliver what waits, and collect nothing; drops nothing, unless --spool-max-size or --spool-max-age is given'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and __fish_seen_subcommand_from list" -l config -d 'Read what no flag says from FILE [default: /etc/afmetrics/collector.toml, if it is there]' -r -F
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and __fish_seen_subcommand_from list" -l state-dir -d 'Where to keep what the next round needs, and what cannot be delivered yet [default: $STATE_DIRECTORY, /var/lib/afmetrics, $XDG_STATE_HOME/afmetrics, ~/.local/state/afmetrics: the first that can be written]' -r -F
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and __fish_seen_subcommand_from list" -l root -d 'Read /proc, /run and the mounts below DIR: for a container that sees its host there' -r -F
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and __fish_seen_subcommand_from list" -l log-level -d 'Log lines of this level and the graver ones' -r -f -a "error\t'Somebody has to act'
warn\t'Worth a look if it comes again'
info\t'A line a round, and what is not as usual'
debug\t'Everything'"
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and __fish_seen_subcommand_from list" -l json -d 'Print the list as lines of JSON'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and __fish_seen_subcommand_from list" -s v -l verbose -d 'Log at level INFO; twice: DEBUG'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and __fish_seen_subcommand_from list" -l very-verbose -d 'Log at level DEBUG (-vv)'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and __fish_seen_subcommand_from show" -l config -d 'Read what no flag says from FILE [default: /etc/afmetrics/collector.toml, if it is there]' -r -F
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and __fish_seen_subcommand_from show" -l state-dir -d 'Where to keep what the next round needs, and what cannot be delivered yet [default: $STATE_DIRECTORY, /var/lib/afmetrics, $XDG_STATE_HOME/afmetrics, ~/.local/state/afmetrics: the first that can be written]' -r -F
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and __fish_seen_subcommand_from show" -l root -d 'Read /proc, /run and the mounts below DIR: for a container that sees its host there' -r -F
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and __fish_seen_subcommand_from show" -l log-level -d 'Log lines of this level and the graver ones' -r -f -a "error\t'Somebody has to act'
warn\t'Worth a look if it comes again'
info\t'A line a round, and what is not as usual'
debug\t'Everything'"
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and __fish_seen_subcommand_from show" -s v -l verbose -d 'Log at level INFO; twice: DEBUG'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and __fish_seen_subcommand_from show" -l very-verbose -d 'Log at level DEBUG (-vv)'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and __fish_seen_subcommand_from retry" -l config -d 'Read what no flag says from FILE [default: /etc/afmetrics/collector.toml, if it is there]' -r -F
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and __fish_seen_subcommand_from retry" -l state-dir -d 'Where to keep what the next round needs, and what cannot be delivered yet [default: $STATE_DIRECTORY, /var/lib/afmetrics, $XDG_STATE_HOME/afmetrics, ~/.local/state/afmetrics: the first that can be written]' -r -F
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and __fish_seen_subcommand_from retry" -l root -d 'Read /proc, /run and the mounts below DIR: for a container that sees its host there' -r -F
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and __fish_seen_subcommand_from retry" -l log-level -d 'Log lines of this level and the graver ones' -r -f -a "error\t'Somebody has to act'
warn\t'Worth a look if it comes again'
info\t'A line a round, and what is not as usual'
debug\t'Everything'"
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and __fish_seen_subcommand_from retry" -s v -l verbose -d 'Log at level INFO; twice: DEBUG'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and __fish_seen_subcommand_from retry" -l very-verbose -d 'Log at level DEBUG (-vv)'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and __fish_seen_subcommand_from retry" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and __fish_seen_subcommand_from drop" -l config -d 'Read what no flag says from FILE [default: /etc/afmetrics/collector.toml, if it is there]' -r -F
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and __fish_seen_subcommand_from drop" -l state-dir -d 'Where to keep what the next round needs, and what cannot be delivered yet [default: $STATE_DIRECTORY, /var/lib/afmetrics, $XDG_STATE_HOME/afmetrics, ~/.local/state/afmetrics: the first that can be written]' -r -F
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and __fish_seen_subcommand_from drop" -l root -d 'Read /proc, /run and the mounts below DIR: for a container that sees its host there' -r -F
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and __fish_seen_subcommand_from drop" -l log-level -d 'Log lines of this level and the graver ones' -r -f -a "error\t'Somebody has to act'
warn\t'Worth a look if it comes again'
info\t'A line a round, and what is not as usual'
debug\t'Everything'"
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and __fish_seen_subcommand_from drop" -s v -l verbose -d 'Log at level INFO; twice: DEBUG'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and __fish_seen_subcommand_from drop" -l very-verbose -d 'Log at level DEBUG (-vv)'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and __fish_seen_subcommand_from drop" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and __fish_seen_subcommand_from deliver" -s t -l token -d 'The facility\'s token. Every user of this node can see it in `ps`: prefer --token-file' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and __fish_seen_subcommand_from deliver" -l token-file -d 'Read the token from this file [or the environment: AFMETRICS_TOKEN]' -r -F
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and __fish_seen_subcommand_from deliver" -s c -l cluster -d 'The facility\'s name' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and __fish_seen_subcommand_from deliver" -s u -l url -d 'The endpoint' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and __fish_seen_subcommand_from deliver" -l batch-size -d 'Send arrays of at most N documents and 900 kB instead of one document a request' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and __fish_seen_subcommand_from deliver" -l ca-file -d 'Trust the certificate authorities in this file (PEM) besides the system\'s' -r -F
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and __fish_seen_subcommand_from deliver" -l max-connections -d 'At most N connections to the endpoint over HTTP/1.1' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and __fish_seen_subcommand_from deliver" -l max-streams -d 'At most N requests at a time over HTTP/2' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and __fish_seen_subcommand_from deliver" -l request-timeout -d 'Give a request up that is not answered in full within SECONDS' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and __fish_seen_subcommand_from deliver" -l deliver-for -d 'Stop delivering after SECONDS in all and leave the rest to the next round' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and __fish_seen_subcommand_from deliver" -l spool-max-size -d 'Keep at most so many MiB of documents that cannot be delivered; beyond, the oldest are dropped [default: 256]' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and __fish_seen_subcommand_from deliver" -l spool-max-age -d 'Keep documents that cannot be delivered for at most so many days [default: 14]' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and __fish_seen_subcommand_from deliver" -s O -l obfuscate-hosts -d 'As in a round, whose host names are hidden: leave what was collected with clear ones' -r
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and __fish_seen_subcommand_from deliver" -l config -d 'Read what no flag says from FILE [default: /etc/afmetrics/collector.toml, if it is there]' -r -F
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and __fish_seen_subcommand_from deliver" -l state-dir -d 'Where to keep what the next round needs, and what cannot be delivered yet [default: $STATE_DIRECTORY, /var/lib/afmetrics, $XDG_STATE_HOME/afmetrics, ~/.local/state/afmetrics: the first that can be written]' -r -F
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and __fish_seen_subcommand_from deliver" -l root -d 'Read /proc, /run and the mounts below DIR: for a container that sees its host there' -r -F
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and __fish_seen_subcommand_from deliver" -l log-level -d 'Log lines of this level and the graver ones' -r -f -a "error\t'Somebody has to act'
warn\t'Worth a look if it comes again'
info\t'A line a round, and what is not as usual'
debug\t'Everything'"
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and __fish_seen_subcommand_from deliver" -l gzip -d 'Pack the bodies of requests that are longer than 1 kB (Content-Encoding: gzip)'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and __fish_seen_subcommand_from deliver" -l any-endpoint -d 'Deliver also what was collected for other endpoints: the endpoint has moved'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and __fish_seen_subcommand_from deliver" -s o -l obfuscate-users -d 'As in a round, whose user names are hidden: leave what was collected with clear ones'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and __fish_seen_subcommand_from deliver" -s v -l verbose -d 'Log at level INFO; twice: DEBUG'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and __fish_seen_subcommand_from deliver" -l very-verbose -d 'Log at level DEBUG (-vv)'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand spool; and __fish_seen_subcommand_from deliver" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand record" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand replay" -s v -l verbose -d 'Log at level INFO; twice: DEBUG'
complete -c afmetrics_collector -n "__fish_afmetrics_collector_using_subcommand replay" -s h -l help -d 'Print help (see more with \'--help\')'
