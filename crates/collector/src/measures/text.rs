//! Samples as text: OpenMetrics 1.0, and the older text format of Prometheus, which is all that
//! node_exporter's textfile collector and old Prometheus servers read.
//!
//! The two differ in little: OpenMetrics names a counter without `_total` in its head, has `# UNIT`,
//! and ends with `# EOF`. So text without counters, as a round by cron writes it, is both at once.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::Permissions;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::Sample;
use super::table::{METRICS, Metric, Type};

/// How samples are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    OpenMetrics,
    /// 0.0.4.
    Prometheus,
}

impl Format {
    /// What whoever asks wants, by the header `Accept`.
    pub fn accepted(accept: Option<&str>) -> Self {
        let ranges = accept.unwrap_or_default().split(',');
        let is_wanted = |range: &str| {
            let mut parts = range.split(';').map(str::trim);
            let is_it = parts
                .next()
                .is_some_and(|ty| ty.eq_ignore_ascii_case("application/openmetrics-text"));
            is_it && parts.all(is_possible)
        };
        if ranges.into_iter().any(is_wanted) {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }

    /// The header `Content-Type`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Whether a parameter of the range leaves it one that can be given.
fn is_possible(parameter: &str) -> bool {
    match parameter.split_once('=') {
        Some((name, value)) if name.eq_ignore_ascii_case("q") => {
            value.parse().is_ok_and(|quality: f32| quality > 0.0)
        }
        // Of 0.0.1, which older Prometheus servers ask for, 1.0.0 is a part.
        Some((name, value)) if name.eq_ignore_ascii_case("version") => {
            ["1.0.0", "0.0.1"].contains(&value.trim_matches('"'))
        }
        _ => true,
    }
}

/// All samples whose metrics are in [`METRICS`], in its order. A series must be there once only.
pub fn encode(samples: &[Sample], format: Format) -> String {
    let mut by_name: BTreeMap<&str, Vec<&Sample>> = BTreeMap::new();
    for sample in samples {
        by_name.entry(&sample.name).or_default().push(sample);
    }
    let mut text = String::new();
    for metric in METRICS {
        if let Some(samples) = by_name.get(metric.name) {
            head(&mut text, metric, format);
            samples.iter().for_each(|sample| line(&mut text, sample));
        }
    }
    if format == Format::OpenMetrics {
        text.push_str("# EOF\n");
    }
    text
}

fn head(text: &mut String, metric: &Metric, format: Format) {
    let (family, ty) = match (metric.ty, format) {
        (Type::Gauge, _) => (metric.name, "gauge"),
        (Type::Counter, Format::Prometheus) => (metric.name, "counter"),
        (Type::Counter, Format::OpenMetrics) => {
            let family = metric.name.strip_suffix("_total");
            (family.unwrap_or(metric.name), "counter")
        }
    };
    let _ = writeln!(text, "# HELP {family} {}", metric.help);
    let _ = writeln!(text, "# TYPE {family} {ty}");
    let unit = metric.unit.name();
    if format == Format::OpenMetrics && !unit.is_empty() {
        let _ = writeln!(text, "# UNIT {family} {unit}");
    }
}

fn line(text: &mut String, sample: &Sample) {
    text.push_str(&sample.name);
    let mut before = '{';
    for (label, value) in &sample.labels {
        let _ = write!(text, "{before}{label}=\"");
        value.chars().for_each(|c| escaped(text, c));
        text.push('"');
        before = ',';
    }
    if before == ',' {
        text.push('}');
    }
    let value = sample.value;
    let _ = match value.is_infinite() {
        true if value > 0.0 => writeln!(text, " +Inf"),
        true => writeln!(text, " -Inf"),
        false => writeln!(text, " {value}"),
    };
}

fn escaped(text: &mut String, c: char) {
    match c {
        '\\' => text.push_str("\\\\"),
        '"' => text.push_str("\\\""),
        '\n' => text.push_str("\\n"),
        c => text.push(c),
    }
}

/// Writes a textfile, for everybody to read. node_exporter finds the old one or the new one, whole:
/// it looks at names that end in `.prom` only, which the temporary one does not.
pub fn write(path: &Path, text: &str) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let mut file = tempfile::Builder::new()
        .prefix(".afmetrics-")
        .permissions(Permissions::from_mode(0o600))
        .tempfile_in(folder.unwrap_or(Path::new(".")))?;
    file.write_all(text.as_bytes())?;
    // Behind the umask's back, which a unit may set to 0077.
    file.as_file()
        .set_permissions(Permissions::from_mode(0o644))?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::super::table;
    use super::*;

    fn samples() -> Vec<Sample> {
        let mut rounds = Sample::new(&table::ROUNDS, "UC-AF", &[], 3.0);
        rounds.since = Some(Timestamp::UNIX_EPOCH);
        let mount = |device| ["login01.canary.example", "/home", device];
        vec![
            rounds,
            Sample::new(&table::MOUNT_SIZE, "UC-AF", &mount("sda1"), 4_145_152.0),
            Sample::new(&table::MOUNT_SIZE, "UC-AF", &mount(""), 0.5),
            Sample::new(&table::JOBS, "UC-AF", &["htcondor", "idle"], 0.0),
        ]
    }

    #[test]
    fn openmetrics_has_families_units_and_an_end() {
        let jobs = table::JOBS.help;
        let (size, rounds) = (table::MOUNT_SIZE.help, table::ROUNDS.help);
        let wanted = format!(
            r#"# HELP afmetrics_jobs {jobs}
# TYPE afmetrics_jobs gauge
afmetrics_jobs{{cluster="UC-AF",state="idle",system="htcondor"}} 0
# HELP afmetrics_mount_size_bytes {size}
# TYPE afmetrics_mount_size_bytes gauge
# UNIT afmetrics_mount_size_bytes bytes
afmetrics_mount_size_bytes{{cluster="UC-AF",device="sda1",login_node="login01.canary.example",mount="/home"}} 4145152
afmetrics_mount_size_bytes{{cluster="UC-AF",login_node="login01.canary.example",mount="/home"}} 0.5
# HELP afmetrics_collector_rounds {rounds}
# TYPE afmetrics_collector_rounds counter
afmetrics_collector_rounds_total{{cluster="UC-AF"}} 3
# EOF
"#
        );
        assert_eq!(encode(&samples(), Format::OpenMetrics), wanted);
    }

    #[test]
    fn the_older_format_names_counters_in_full() {
        let text = encode(&samples(), Format::Prometheus);
        assert!(text.contains("# TYPE afmetrics_collector_rounds_total counter\n"));
        assert!(!text.contains("# UNIT") && !text.contains("# EOF"));
    }

    #[test]
    fn nothing_is_a_text_too() {
        assert_eq!(encode(&[], Format::OpenMetrics), "# EOF\n");
        assert_eq!(encode(&[], Format::Prometheus), "");
    }

    #[test]
    fn who_asks_gets_a_format_that_it_knows() {
        for (accept, wanted) in [
            (None, Format::Prometheus),
            (Some("*/*"), Format::Prometheus),
            (Some("text/plain"), Format::Prometheus),
            (Some("application/openmetrics-text"), Format::OpenMetrics),
            (
                Some(
                    "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                ),
                Format::OpenMetrics,
            ),
            (
                Some("text/plain, Application/OpenMetrics-Text; version=\"1.0.0\"; charset=utf-8"),
                Format::OpenMetrics,
            ),
            (
                Some("application/openmetrics-text;version=0.0.1,*/*;q=0.1"),
                Format::OpenMetrics,
            ),
            (
                Some("application/openmetrics-text;version=2.0.0"),
                Format::Prometheus,
            ),
            (
                Some("application/openmetrics-text;q=0,text/plain"),
                Format::Prometheus,
            ),
            (Some("application/openmetrics-text-not"), Format::Prometheus),
        ] {
            assert_eq!(Format::accepted(accept), wanted, "{accept:?}");
        }
    }

    #[test]
    fn numbers_that_are_none_are_written_as_the_formats_write_them() {
        for (value, wanted) in [
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
            (-2.5, "-2.5"),
        ] {
            let sample = Sample::new(&table::ROUNDS, "", &[], value);
            let text = encode(&[sample], Format::Prometheus);
            assert!(text.ends_with(&format!("_total {wanted}\n")), "{text}");
        }
    }

    /// As a parser reads it: the labels of a line, unescaped, and the number.
    fn parsed(line: &str) -> (BTreeMap<String, String>, f64) {
        let (_, rest) = line.split_once('{').unwrap();
        let mut labels = BTreeMap::new();
        let mut rest = rest;
        loop {
            let (name, behind) = rest.split_once("=\"").unwrap();
            let mut value = String::new();
            let mut chars = behind.char_indices();
            let end = loop {
                match chars.next().unwrap() {
                    (end, '"') => break end,
                    (_, '\n') => panic!("a line break in {line:?}"),
                    (_, '\\') => value.push(match chars.next().unwrap().1 {
                        'n' => '\n',
                        c => {
                            assert!(c == '"' || c == '\\', "{line:?}");
                            c
                        }
                    }),
                    (_, c) => value.push(c),
                }
            };
            assert!(labels.insert(name.to_owned(), value).is_none());
            rest = &behind[end + 1..];
            match rest.split_at(1) {
                (",", more) => rest = more,
                ("}", number) => return (labels, number.trim().parse().unwrap()),
                _ => panic!("{line:?}"),
            }
        }
    }

    proptest! {
        #[test]
        fn any_label_and_number_can_be_read_back(
            cluster: String, queue in "[ -~\n\"\\\\{},=]*", number: f64, openmetrics: bool,
        ) {
            let values = ["slurm", &queue];
            let sample = Sample::new(&table::QUEUE_CORES, &cluster, &values, number);
            let format = if openmetrics { Format::OpenMetrics } else { Format::Prometheus };
            let text = encode(std::slice::from_ref(&sample), format);
            let lines: Vec<&str> = text.split('\n').filter(|line| !line.starts_with('#')).collect();
            prop_assert_eq!(lines.len(), 2, "{}", text);
            let (labels, read) = parsed(lines[0]);
            let wanted: BTreeMap<String, String> = sample
                .labels
                .iter()
                .map(|(label, value)| (label.to_string(), value.clone()))
                .collect();
            prop_assert_eq!(labels, wanted);
            prop_assert!(read == number || (read.is_nan() && number.is_nan()));
        }

        #[test]
        fn any_accept_header_has_an_answer(accept: String, rest in "application/openmetrics-text;.*") {
            Format::accepted(Some(&accept));
            Format::accepted(Some(&rest));
        }
    }

    #[test]
    fn a_textfile_is_replaced_as_a_whole_and_readable() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("afmetrics.prom");
        for text in ["first\n", "second\n"] {
            write(&path, text).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(write(&folder.path().join("not there/afmetrics.prom"), "").is_err());
    }

    /// What could not be put in place is taken away.
    #[test]
    fn a_textfile_that_cannot_be_written_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("afmetrics.prom");
        fs::create_dir(&path).unwrap();
        assert!(write(&path, "text\n").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
