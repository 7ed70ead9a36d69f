//! The numbers that are kept over time, and what names a series of each.

/// A number over time. Names are stored, so they stay as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Metric {
    /// Jobs by state (part, as [`super::System::part`] has it); each job counts once in five minutes, in the
    /// state it was last reported in.
    Jobs,
    /// The same by user (label) and state (part).
    JobsOfUser,
    /// Jobs that ended: how many (n), and their run time in seconds. By state (part; the same).
    Ended,
    /// The same by user (label).
    EndedOfUser,
    /// Jobs that ended by how long they ran: the label is the power of two that the seconds stay below.
    EndedByLength,
    /// Users who are there, by kind (label) and node (part).
    UsersPresent,
    /// Jobs and what they have, by queue (part; the same).
    QueueIdle,
    QueueRunning,
    QueueHeld,
    /// Cores.
    QueueCores,
    /// MiB.
    QueueMemory,
    /// 1-minute load average, by node (label).
    Load,
    /// Bytes, by node (label).
    MemoryTotal,
    MemoryAvailable,
    /// Bytes a second, by node (label).
    NetworkSent,
    NetworkReceived,
    /// Bytes, by node (label) and mount (part).
    DiskTotal,
    DiskUsed,
    DiskFree,
    /// Documents that came, by kind (label).
    Documents,
    /// Those of them that were collected more than five minutes before they came.
    Late,
    /// Documents that came again and were not stored again, by kind (label), when they came.
    Repeated,
    /// Requests that were refused, by answer and reason (label); those of no known facility are of
    /// [`NOBODY`].
    Refused,
}

/// In the place of a facility's number, where none is known: facilities are numbered from 1 on. Only who may
/// read of all facilities sees what is of nobody.
pub const NOBODY: i64 = 0;

/// How what comes in a slot becomes one cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grain {
    /// Samples: number, sum, least, most.
    Samples,
    /// A count that goes up and down.
    Count,
}

impl Metric {
    pub const ALL: [Metric; 23] = [
        Metric::Jobs,
        Metric::JobsOfUser,
        Metric::Ended,
        Metric::EndedOfUser,
        Metric::EndedByLength,
        Metric::UsersPresent,
        Metric::QueueIdle,
        Metric::QueueRunning,
        Metric::QueueHeld,
        Metric::QueueCores,
        Metric::QueueMemory,
        Metric::Load,
        Metric::MemoryTotal,
        Metric::MemoryAvailable,
        Metric::NetworkSent,
        Metric::NetworkReceived,
        Metric::DiskTotal,
        Metric::DiskUsed,
        Metric::DiskFree,
        Metric::Documents,
        Metric::Late,
        Metric::Repeated,
        Metric::Refused,
    ];

    /// Its name in the store.
    pub fn name(self) -> &'static str {
        match self {
            Metric::Jobs => "jobs",
            Metric::JobsOfUser => "jobs_of_user",
            Metric::Ended => "ended",
            Metric::EndedOfUser => "ended_of_user",
            Metric::EndedByLength => "ended_by_length",
            Metric::UsersPresent => "users_present",
            Metric::QueueIdle => "queue_idle",
            Metric::QueueRunning => "queue_running",
            Metric::QueueHeld => "queue_held",
            Metric::QueueCores => "queue_cores",
            Metric::QueueMemory => "queue_memory",
            Metric::Load => "load",
            Metric::MemoryTotal => "memory_total",
            Metric::MemoryAvailable => "memory_available",
            Metric::NetworkSent => "network_sent",
            Metric::NetworkReceived => "network_received",
            Metric::DiskTotal => "disk_total",
            Metric::DiskUsed => "disk_used",
            Metric::DiskFree => "disk_free",
            Metric::Documents => "documents",
            Metric::Late => "late",
            Metric::Repeated => "repeated",
            Metric::Refused => "refused",
        }
    }

    pub fn grain(self) -> Grain {
        match self {
            Metric::Jobs
            | Metric::JobsOfUser
            | Metric::Documents
            | Metric::Late
            | Metric::Repeated
            | Metric::Refused => Grain::Count,
            _ => Grain::Samples,
        }
    }

    /// Whether no stored document says it. What was counted and is not settled goes with a crash (5 s of it at
    /// most), and nothing can be compared with it.
    pub fn is_of_no_document(self) -> bool {
        matches!(self, Metric::Repeated | Metric::Refused)
    }

    /// Whether the label is a user's name.
    pub fn names_a_user(self) -> bool {
        matches!(self, Metric::JobsOfUser | Metric::EndedOfUser)
    }
}
