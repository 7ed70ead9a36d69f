//! How busy the node is.
//!
//! ```text
//! 2.34 3.47 4.72 2/194 29805
//! ```

use afmetrics_document::Document;
use async_trait::async_trait;

use super::{Collector, Spec};
use crate::context::Context;
use crate::documents::Documents;
use crate::error::CollectError;

pub const SPEC: Spec = Spec {
    name: "load",
    summary: "the 1-minute load average (/proc/loadavg)",
    kinds: &["CPU"],
    flag: "--host",
    table: "host",
    debug_file: "host.json",
    after: None,
    build: |config| config.host.then(|| Box::new(Load) as _),
};

struct Load;

#[async_trait(?Send)]
impl Collector for Load {
    async fn collect(&self, cx: &Context, out: &mut Documents) -> Result<(), CollectError> {
        let load = parse_loadavg(&cx.read("/proc/loadavg")?).ok_or_else(|| {
            CollectError::Malformed("/proc/loadavg does not begin with a load average".to_owned())
        })?;
        out.push(&Document::Cpu {
            login_node: cx.login_node.clone(),
            load,
        })
    }
}

fn parse_loadavg(text: &str) -> Option<f64> {
    let load: f64 = text.split_whitespace().next()?.parse().ok()?;
    (load.is_finite() && load >= 0.0).then_some(load)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_number_is_the_load() {
        assert_eq!(parse_loadavg("2.34 3.47 4.72 2/194 29805\n"), Some(2.34));
        assert_eq!(parse_loadavg("0.00 0.01 0.05 1/100 7"), Some(0.0));
        for bad in ["", "x 1 2", "nan 1 2", "inf", "-1.0 0 0"] {
            assert_eq!(parse_loadavg(bad), None, "{bad:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn parsing_never_panics(text: String) {
            let _ = parse_loadavg(&text);
        }
    }
}
