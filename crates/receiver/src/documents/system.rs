//! The two batch systems: which kinds and which collector are of which, and how what is stored of them is told
//! apart. A facility may have both, with queues of the same name.

use std::borrow::Cow;

use afmetrics_document::kinds;

/// A batch system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum System {
    HtCondor,
    Slurm,
}

/// Stands before a state or queue of Slurm's where series are stored.
const SLURM: &str = "slurm/";
/// Stands before one of HTCondor's that would look like one with such a mark. All others have none: they are
/// older than Slurm's.
const HTCONDOR: &str = "htcondor/";
/// No end, but said of a run by Slurm's accounting, too.
const REQUEUED: &str = "requeued";

impl System {
    pub const ALL: [System; 2] = [System::HtCondor, System::Slurm];

    /// What people call it, and answers.
    pub fn name(self) -> &'static str {
        match self {
            System::HtCondor => "HTCondor",
            System::Slurm => "Slurm",
        }
    }

    /// The kind of its jobs' documents.
    pub fn job_kind(self) -> &'static str {
        match self {
            System::HtCondor => "condorjob",
            System::Slurm => "slurmjob",
        }
    }

    /// The kind of its queues' documents.
    pub fn queue_kind(self) -> &'static str {
        match self {
            System::HtCondor => "condorqueue",
            System::Slurm => "slurmqueue",
        }
    }

    /// The collector that reads all jobs of its queue, as `round` names it.
    pub fn collector(self) -> &'static str {
        match self {
            System::HtCondor => "condor_jobs",
            System::Slurm => "slurm_jobs",
        }
    }

    /// A state or queue of this system, as series are stored. It must stay as it is.
    pub fn part(self, name: &str) -> Cow<'_, str> {
        match self {
            System::Slurm => format!("{SLURM}{name}").into(),
            System::HtCondor if name.starts_with(SLURM) || name.starts_with(HTCONDOR) => {
                format!("{HTCONDOR}{name}").into()
            }
            System::HtCondor => name.into(),
        }
    }

    /// The system and the state or queue of what is stored.
    pub fn of_part(part: &str) -> (System, &str) {
        match (part.strip_prefix(SLURM), part.strip_prefix(HTCONDOR)) {
            (Some(name), _) => (System::Slurm, name),
            (None, Some(name)) => (System::HtCondor, name),
            (None, None) => (System::HtCondor, part),
        }
    }

    /// Whether only who read the queue can report a job in this state. Ends come from the history, which may
    /// be read where the queue is not.
    pub fn is_of_queue(state: &str) -> bool {
        !kinds::END_STATES.contains(&state) && state != REQUEUED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_of_one_system_is_never_taken_for_the_other_s() {
        for name in [
            "",
            "all",
            "slurm/",
            "slurm/all",
            "htcondor/all",
            "htcondor/slurm/all",
        ] {
            let stored = System::ALL.map(|system| {
                let part = system.part(name);
                assert_eq!(System::of_part(&part), (system, name));
                part
            });
            assert_ne!(stored[0], stored[1]);
        }
        // As it was stored before there was another system.
        assert_eq!(System::HtCondor.part("running"), "running");
        assert_eq!(System::Slurm.part("running"), "slurm/running");
    }

    #[test]
    fn what_ended_says_nothing_of_the_queue() {
        for state in [
            "running",
            "idle",
            "held",
            "completing",
            "unknown",
            "suspended",
        ] {
            assert!(System::is_of_queue(state), "{state}");
        }
        for state in ["finished", "removed", "timeout", "requeued"] {
            assert!(!System::is_of_queue(state), "{state}");
        }
    }
}
