//! What axe-core finds on a page (axe/: its release 4.14.1 as it is, under its own licence).

use serde_json::Value;

use super::tab::Tab;

const AXE: &str = include_str!("axe/axe.min.js");

const RUN: &str = "axe.run(document, {resultTypes: ['violations']})\
    .then(found => done({found: found.violations, rules: found.passes.length}), why => done({failed: String(why)}))";

/// Nothing serious stands between this page and a person, whatever they see or use.
pub fn assert_accessible(tab: &Tab, how: &str) {
    tab.run(&format!("{AXE}; window.axe = axe"));
    let answer = tab.run_until_done(RUN);
    assert!(answer["rules"].as_u64() > Some(5), "{how}: {answer}");
    let found = answer["found"].as_array().unwrap();
    let serious: Vec<String> = found.iter().filter_map(said).collect();
    assert!(
        serious.is_empty(),
        "{}, {how}:\n{}",
        tab.path(),
        serious.join("\n")
    );
}

/// A finding that counts, and where it is.
fn said(finding: &Value) -> Option<String> {
    let impact = finding["impact"].as_str()?;
    let places: Vec<String> = finding["nodes"]
        .as_array()?
        .iter()
        .map(|node| format!("  {}: {}", node["html"], node["failureSummary"]))
        .take(5)
        .collect();
    ["serious", "critical"].contains(&impact).then(|| {
        format!(
            "{impact}: {} ({} times)\n{}",
            finding["help"],
            finding["nodes"].as_array().map_or(0, Vec::len),
            places.join("\n")
        )
    })
}
