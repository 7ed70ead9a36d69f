user=afmetrics_receiver
comment="afmetrics receiver"
state=/var/lib/afmetrics_receiver
settings=/etc/afmetrics/receiver.toml
sysusers=afmetrics_receiver.conf
# What may be enabled; and what else may run.
units="afmetrics_receiver.service"
further=""

# What a person must know now.
notes() {
    :
}

# The store is years of a facility, and no package made it.
purge() {
    [ -d "$state" ] || return 0
    echo "afmetrics-receiver: the store in $state is kept; no package removes it. If nobody needs it: rm -r $state"
}
