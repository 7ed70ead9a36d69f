//! How states of batch jobs are called and in which order they come: both systems' words, and any other.

/// From the top of a stack to its bottom: how jobs ended, what is not known, what waits, what runs. With what a
/// person reads, where that is not the word itself with spaces for `_`.
const STATES: [(&str, Option<&str>); 20] = [
    ("finished", None),
    ("failed", None),
    ("timeout", Some("timed out")),
    ("out_of_memory", None),
    ("node_fail", Some("node failed")),
    ("boot_fail", Some("boot failed")),
    ("deadline", Some("past deadline")),
    ("preempted", None),
    ("revoked", None),
    ("removed", None),
    ("unknown", None),
    ("held", None),
    ("requeued", None),
    ("suspended", None),
    ("unexpanded", None),
    ("idle", None),
    ("configuring", None),
    ("transferring_output", None),
    ("completing", None),
    ("running", None),
];

fn place(state: &str) -> Option<usize> {
    STATES.iter().position(|(word, _)| *word == state)
}

/// Its place in the order; one that is in no table stands where `unknown` does.
pub fn rank(state: &str) -> usize {
    place(state).or_else(|| place("unknown")).unwrap_or(0)
}

/// What a person reads.
pub fn title(state: &str) -> String {
    match place(state).and_then(|at| STATES[at].1) {
        Some(title) => title.to_owned(),
        None => state.replace('_', " "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use afmetrics_document::kinds::{END_STATES, JOB_STATES, SLURM_STATES, UNKNOWN_STATE};

    #[test]
    fn every_word_of_the_kinds_has_a_place_and_a_name_that_is_read() {
        let slurm = SLURM_STATES.map(|(_, word)| word);
        let all = [&JOB_STATES[..], &END_STATES, &slurm, &[UNKNOWN_STATE]].concat();
        for state in all {
            assert!(place(state).is_some(), "{state}");
            assert!(!title(state).contains('_'), "{state}");
        }
        // Those that end are above those that do not.
        let lowest = END_STATES.map(rank).into_iter().max();
        assert!(lowest < Some(rank("held")));
        assert_eq!(
            ["node_fail", "out_of_memory", "special_exit"].map(title),
            ["node failed", "out of memory", "special exit"]
        );
        assert_eq!(rank("special_exit"), rank("unknown"));
    }
}
