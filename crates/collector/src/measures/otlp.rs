//! Samples as OTLP: the protobuf bodies that an OpenTelemetry Collector, or Prometheus itself, takes
//! by `POST /v1/metrics`.
//!
//! Numbers of a round are gauges: a round by cron has no beginning to count from, and Prometheus
//! refuses sums that are differences (delta temporality). A daemon's counters are cumulative sums
//! since it started. Each point has the time of collection, however late it is delivered.

use std::collections::BTreeMap;

use jiff::Timestamp;
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

use super::{Sample, table};

/// The header `Content-Type` of requests and of answers.
pub const CONTENT_TYPE: &str = "application/x-protobuf";
/// What the numbers are said to be from.
const SERVICE: &str = "afmetrics_collector";

/// Where samples were collected.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// The facility.
    pub cluster: &'a str,
    /// The node's published name.
    pub login_node: &'a str,
}

/// The body of a request: all these samples, which were collected at that time.
pub fn request(samples: &[Sample], collected: Timestamp, origin: Origin<'_>) -> Vec<u8> {
    let mut by_name: BTreeMap<&str, Vec<&Sample>> = BTreeMap::new();
    for sample in samples {
        by_name.entry(&sample.name).or_default().push(sample);
    }
    let metrics = by_name
        .into_iter()
        .map(|(name, samples)| metric(name, &samples, collected))
        .collect();
    let version = env!("CARGO_PKG_VERSION").to_owned();
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource(origin)),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(InstrumentationScope {
                    name: SERVICE.to_owned(),
                    version,
                    ..InstrumentationScope::default()
                }),
                metrics,
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    }
    .encode_to_vec()
}

/// Without `service.instance.id`, two nodes would write the same series of Prometheus.
fn resource(origin: Origin<'_>) -> Resource {
    let attributes = [
        ("service.name", SERVICE),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("service.instance.id", origin.login_node),
        ("host.name", origin.login_node),
        ("afmetrics.cluster", origin.cluster),
    ];
    Resource {
        attributes: attributes
            .iter()
            .map(|(key, value)| attribute(key, value))
            .collect(),
        ..Resource::default()
    }
}

fn attribute(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(Value::StringValue(value.to_owned())),
        }),
        ..KeyValue::default()
    }
}

/// One that another version of this program has stored, and this one does not know, is sent as it is.
fn metric(name: &str, samples: &[&Sample], collected: Timestamp) -> Metric {
    let known = table::find(name);
    let data_points = samples.iter().map(|sample| point(sample, collected));
    let data_points = data_points.collect();
    let data = match samples.iter().any(|sample| sample.since.is_some()) {
        false => Data::Gauge(Gauge { data_points }),
        true => Data::Sum(Sum {
            data_points,
            aggregation_temporality: AggregationTemporality::Cumulative.into(),
            is_monotonic: true,
        }),
    };
    Metric {
        name: name.to_owned(),
        description: known.map_or_else(String::new, |metric| metric.help.to_owned()),
        unit: known.map_or_else(String::new, |metric| metric.unit.ucum().to_owned()),
        data: Some(data),
        ..Metric::default()
    }
}

fn point(sample: &Sample, collected: Timestamp) -> NumberDataPoint {
    NumberDataPoint {
        attributes: sample
            .labels
            .iter()
            .map(|(label, value)| attribute(label, value))
            .collect(),
        start_time_unix_nano: sample.since.map_or(0, nanoseconds),
        time_unix_nano: nanoseconds(collected),
        // Always a real number: a series must not change its type with its value.
        value: Some(Number::AsDouble(sample.value)),
        ..NumberDataPoint::default()
    }
}

/// Since 1970; 0 of what was before.
fn nanoseconds(time: Timestamp) -> u64 {
    u64::try_from(time.as_nanosecond()).unwrap_or(0)
}

/// What an accepted request's answer says against it: how many points were refused, and why. 0 points
/// with a reason are a warning. `None`: all is well, or the answer is nothing of the kind.
pub fn rejected(body: &[u8]) -> Option<(u64, String)> {
    let answer = ExportMetricsServiceResponse::decode(body).ok()?;
    let partial = answer.partial_success?;
    let points = u64::try_from(partial.rejected_data_points).unwrap_or(0);
    (points > 0 || !partial.error_message.is_empty()).then_some((points, partial.error_message))
}

/// A `google.rpc.Status`, as far as it is for people.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(string, tag = "2")]
    message: String,
}

/// What the answer to a request that was not accepted says; `None`: it is nothing of the kind.
pub fn refused(body: &[u8]) -> Option<String> {
    let status = Status::decode(body).ok()?;
    (!status.message.is_empty()).then_some(status.message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ORIGIN: Origin<'_> = Origin {
        cluster: "UC-AF",
        login_node: "login01.canary.example",
    };

    /// A field of a protobuf message, read without any library: what its number is, and what it holds.
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Wire<'a> {
        Varint(u64),
        Fixed(u64),
        Bytes(&'a [u8]),
    }

    impl<'a> Wire<'a> {
        fn bytes(self) -> &'a [u8] {
            match self {
                Self::Bytes(bytes) => bytes,
                other => panic!("{other:?}"),
            }
        }

        fn text(self) -> &'a str {
            std::str::from_utf8(self.bytes()).unwrap()
        }
    }

    fn varint(bytes: &mut &[u8]) -> u64 {
        let mut number = 0;
        for shift in (0..).step_by(7) {
            let byte = bytes[0];
            *bytes = &bytes[1..];
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        number
    }

    fn fields(mut bytes: &[u8]) -> Vec<(u64, Wire<'_>)> {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let key = varint(&mut bytes);
            let value = match key & 7 {
                0 => Wire::Varint(varint(&mut bytes)),
                1 => {
                    let (fixed, rest) = bytes.split_at(8);
                    bytes = rest;
                    Wire::Fixed(u64::from_le_bytes(fixed.try_into().unwrap()))
                }
                2 => {
                    let length = usize::try_from(varint(&mut bytes)).unwrap();
                    let (inner, rest) = bytes.split_at(length);
                    bytes = rest;
                    Wire::Bytes(inner)
                }
                other => panic!("wire type {other}"),
            };
            fields.push((key >> 3, value));
        }
        fields
    }

    /// All fields of this number.
    fn all(bytes: &[u8], number: u64) -> Vec<Wire<'_>> {
        let fields = fields(bytes).into_iter();
        fields
            .filter(|(n, _)| *n == number)
            .map(|(_, value)| value)
            .collect()
    }

    #[track_caller]
    fn one(bytes: &[u8], number: u64) -> Wire<'_> {
        let all = all(bytes, number);
        assert_eq!(all.len(), 1, "field {number}");
        all[0]
    }

    /// KeyValue { key = 1, value = 2: AnyValue { string_value = 1 } }.
    fn attributes(message: &[u8], number: u64) -> Vec<(&str, &str)> {
        let attributes = all(message, number).into_iter().map(Wire::bytes);
        attributes
            .map(|pair| (one(pair, 1).text(), one(one(pair, 2).bytes(), 1).text()))
            .collect()
    }

    /// ExportMetricsServiceRequest { resource_metrics = 1: { resource = 1, scope_metrics = 2: { scope = 1,
    /// metrics = 2 } } }: the resource, the scope and the metrics.
    fn opened(body: &[u8]) -> (&[u8], &[u8], Vec<&[u8]>) {
        let of_resource = one(body, 1).bytes();
        let of_scope = one(of_resource, 2).bytes();
        let metrics = all(of_scope, 2).into_iter().map(Wire::bytes).collect();
        (
            one(of_resource, 1).bytes(),
            one(of_scope, 1).bytes(),
            metrics,
        )
    }

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_request_says_where_and_when_and_what() {
        let mut rounds = Sample::new(&table::ROUNDS, "UC-AF", &[], 3.0);
        rounds.since = Some(time("2026-11-20T00:00:00Z"));
        let queue = |state, jobs| {
            let values = ["slurm", "batch", state];
            Sample::new(&table::QUEUE_JOBS, "UC-AF", &values, jobs)
        };
        let memory = Sample::new(
            &table::MEMORY_TOTAL,
            "UC-AF",
            &["login01.canary.example"],
            2.5e9,
        );
        let samples = [queue("idle", 7.0), rounds, memory, queue("running", 0.0)];
        let body = request(&samples, time("2026-11-23T14:00:00.25Z"), ORIGIN);

        let (resource, scope, metrics) = opened(&body);
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            attributes(resource, 1),
            [
                ("service.name", "afmetrics_collector"),
                ("service.version", version),
                ("service.instance.id", "login01.canary.example"),
                ("host.name", "login01.canary.example"),
                ("afmetrics.cluster", "UC-AF"),
            ]
        );
        assert_eq!(one(scope, 1).text(), "afmetrics_collector");
        assert_eq!(one(scope, 2).text(), version);
        // Metric { name = 1, description = 2, unit = 3, gauge = 5, sum = 7 }
        let names: Vec<&str> = metrics.iter().map(|metric| one(metric, 1).text()).collect();
        assert_eq!(
            names,
            [
                "afmetrics_collector_rounds_total",
                "afmetrics_memory_total_bytes",
                "afmetrics_queue_jobs",
            ]
        );
        assert_eq!(one(metrics[0], 2).text(), table::ROUNDS.help);
        assert_eq!(one(metrics[1], 3).text(), "By");
        assert!(all(metrics[2], 3).is_empty());

        // Sum { data_points = 1, aggregation_temporality = 2, is_monotonic = 3 }; 2 is cumulative.
        let sum = one(metrics[0], 7).bytes();
        assert_eq!(one(sum, 2), Wire::Varint(2));
        assert_eq!(one(sum, 3), Wire::Varint(1));
        // NumberDataPoint { start_time_unix_nano = 2, time_unix_nano = 3, as_double = 4, attributes = 7 }
        let point = one(sum, 1).bytes();
        assert_eq!(one(point, 2), Wire::Fixed(1_795_132_800_000_000_000));
        assert_eq!(one(point, 3), Wire::Fixed(1_795_442_400_250_000_000));
        assert_eq!(one(point, 4), Wire::Fixed(3.0_f64.to_bits()));
        assert_eq!(attributes(point, 7), [("cluster", "UC-AF")]);

        let gauge = one(metrics[2], 5).bytes();
        let points: Vec<&[u8]> = all(gauge, 1).into_iter().map(Wire::bytes).collect();
        assert_eq!(points.len(), 2);
        assert_eq!(
            attributes(points[1], 7),
            [
                ("cluster", "UC-AF"),
                ("queue", "batch"),
                ("state", "running"),
                ("system", "slurm"),
            ]
        );
        // A 0 is there, and no gap.
        assert_eq!(one(points[1], 4), Wire::Fixed(0));
        assert!(all(points[1], 2).is_empty(), "a gauge has no beginning");
    }

    #[test]
    fn a_metric_of_another_version_is_sent_as_it_was_stored() {
        let line = r#"{"cluster":"UC-AF","name":"afmetrics_new","labels":{"of":"ours"},"value":2}"#;
        let sample: Sample = serde_json::from_str(line).unwrap();
        let body = request(&[sample], Timestamp::UNIX_EPOCH, ORIGIN);
        let (_, _, metrics) = opened(&body);
        assert_eq!(one(metrics[0], 1).text(), "afmetrics_new");
        let point = one(one(metrics[0], 5).bytes(), 1).bytes();
        assert_eq!(attributes(point, 7), [("of", "ours")]);
    }

    #[test]
    fn an_answer_says_what_was_refused() {
        // partial_success = 1 { rejected_data_points = 1: 300, error_message = 2 }
        let partial = b"\x0a\x11\x08\xac\x02\x12\x0cout of order";
        let said = Some((300, "out of order".to_owned()));
        assert_eq!(rejected(partial), said);
        assert_eq!(
            rejected(b"\x0a\x06\x12\x04slow"),
            Some((0, "slow".to_owned()))
        );
        for well in [&b""[..], b"\x0a\x00", b"ok", br#"{"partialSuccess":{}}"#] {
            assert_eq!(rejected(well), None, "{well:?}");
        }
    }

    #[test]
    fn a_refusal_says_why() {
        // google.rpc.Status { code = 1: 3, message = 2, details = 3 }
        let status = b"\x08\x03\x12\x03bad\x1a\x00";
        assert_eq!(refused(status), Some("bad".to_owned()));
        for other in [&b""[..], b"\x08\x03", b"<html>", b"404 page not found\n"] {
            assert_eq!(refused(other), None, "{other:?}");
        }
    }

    proptest! {
        #[test]
        fn any_answer_is_read_or_not(body: Vec<u8>) {
            rejected(&body);
            refused(&body);
        }

        #[test]
        fn any_number_and_label_arrives(values: Vec<f64>, label: String, seconds in 0..i64::from(u32::MAX)) {
            let node = [label.as_str()];
            let samples: Vec<Sample> =
                values.iter().map(|value| Sample::new(&table::LOAD, "UC-AF", &node, *value)).collect();
            let collected = Timestamp::from_second(seconds).unwrap();
            let body = request(&samples, collected, ORIGIN);
            let (_, _, metrics) = opened(&body);
            prop_assert_eq!(metrics.len(), usize::from(!values.is_empty()));
            for metric in metrics {
                let points = all(one(metric, 5).bytes(), 1);
                prop_assert_eq!(points.len(), values.len());
                for (point, value) in points.into_iter().zip(&values) {
                    let point = point.bytes();
                    prop_assert_eq!(one(point, 4), Wire::Fixed(value.to_bits()));
                    let of_node = attributes(point, 7).into_iter().find(|(key, _)| *key == "login_node");
                    prop_assert_eq!(of_node.map_or("", |(_, node)| node), label.as_str());
                }
            }
        }
    }
}
