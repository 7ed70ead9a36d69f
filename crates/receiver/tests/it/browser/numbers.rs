//! One set of numbers: what a chart is drawn from, what its CSV has and what the API says.

use std::collections::BTreeMap;

use serde_json::Value;

use super::site::Site;
use super::tab::browse;
use super::{PAGES, asked};

#[test]
fn a_charts_csv_has_the_numbers_of_the_chart_and_of_the_api() {
    let site = Site::filled();
    browse(site.url(), |tab| {
        tab.log_in(&site.viewer);
        let to = jiff::Timestamp::now();
        let from = to - jiff::SignedDuration::from_hours(30);
        tab.go(&format!("/batch?facility=AF-1&from={from:.0}&to={to:.0}"));
        tab.wait_for_charts();
        let link = tab.attribute("#jobs-by-state a.csv", "href").unwrap();
        let file = tab.download("#jobs-by-state a.csv");
        let by_api = rows(
            &site
                .running
                .json(&link.replace("format=csv", "format=json"), &site.viewer),
        );
        let by_file = csv_rows(&file);
        assert!(by_api.len() > 20, "{}", by_api.len());
        assert_eq!(by_file, by_api);

        let url = tab.attribute("#jobs-by-state .chart", "data-url").unwrap();
        let (status, drawn) = site.running.get(&url, &site.viewer);
        assert_eq!(status, 200);
        assert_eq!(drawn_rows(&serde_json::from_str(&drawn).unwrap()), by_api);
    });
}

/// The file of each panel of each page has what the API answers to the same question, row by row.
#[test]
fn every_panels_csv_has_the_rows_of_the_api() {
    let site = Site::filled();
    // Ends with steps that are over: nothing is counted in them while others use the same site.
    let to = jiff::Timestamp::now() - jiff::SignedDuration::from_mins(10);
    let from = to - jiff::SignedDuration::from_hours(30);
    browse(site.url(), |tab| {
        tab.log_in(&site.viewer);
        let mut sizes = BTreeMap::new();
        for page in PAGES {
            tab.go(&asked(page, &format!("from={from:.0}&to={to:.0}")));
            let panels = tab.count(".panel");
            let links = tab.run(LINKS);
            let links: Vec<String> = serde_json::from_value(links).unwrap();
            assert_eq!(links.len(), panels, "{page}");
            for link in links {
                sizes.insert(link.clone(), assert_same(&site, &link));
            }
        }
        let filled = sizes.values().filter(|size| **size > 0).count();
        assert!(filled > 35, "{filled} of {sizes:#?}");
    });
}

const LINKS: &str =
    "return [...document.querySelectorAll('.panel a.csv')].map(link => link.getAttribute('href'))";

/// Compares both forms of an answer; how many rows it has. What is of now is asked for again where the next
/// five minutes began between the two.
fn assert_same(site: &Site, link: &str) -> usize {
    let mut both = both(site, link);
    if both[0] != both[1] {
        both = self::both(site, link);
    }
    let [by_file, by_api] = both;
    assert_eq!(by_file.len(), by_api.len(), "{link}");
    for (row, other) in by_file.iter().zip(&by_api) {
        assert_eq!(row, other, "{link}");
    }
    by_api.len()
}

/// The rows of the file and those of the API, as names and values.
fn both(site: &Site, link: &str) -> [Vec<BTreeMap<String, String>>; 2] {
    let asked = link.replace("format=csv", "format=json");
    assert_ne!(asked, link);
    let answer = site.running.json(&asked, &site.viewer);
    let rows = answer.as_object().unwrap().values();
    let rows = rows.filter_map(Value::as_array).next_back();
    let row = |row: &Value| {
        let fields = row.as_object().unwrap().iter();
        fields
            .map(|(name, value)| (name.clone(), cell(value)))
            .collect()
    };
    let by_api = rows.unwrap().iter().map(row).collect();

    let (status, file) = site.running.get(link, &site.viewer);
    assert_eq!(status, 200, "{link}: {file}");
    let mut reader = csv::Reader::from_reader(file.as_bytes());
    let by_file = reader.deserialize().collect::<Result<_, _>>();
    [by_file.unwrap(), by_api]
}

/// A value as it stands in a file.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(texts) => texts.iter().map(cell).collect::<Vec<_>>().join(";"),
        Value::Number(number) if number.is_f64() => number.as_f64().unwrap().to_string(),
        other => other.to_string(),
    }
}

/// Jobs by time and state.
type Rows = BTreeMap<(String, String), i64>;

/// In thousandths, as a chart is drawn to five digits.
#[expect(clippy::cast_possible_truncation, reason = "a few jobs")]
fn thousandths(number: f64) -> i64 {
    (number * 1000.0).round() as i64
}

fn rows(answer: &Value) -> Rows {
    let list = answer["jobs"].as_array().unwrap();
    let row = |row: &Value| {
        let text = |name: &str| row[name].as_str().unwrap().to_owned();
        (
            (text("time"), text("state")),
            thousandths(row["jobs"].as_f64().unwrap()),
        )
    };
    list.iter().map(row).collect()
}

fn csv_rows(file: &str) -> Rows {
    let mut reader = csv::Reader::from_reader(file.as_bytes());
    let names = reader.headers().unwrap().clone();
    let at = |name: &str| names.iter().position(|other| other == name).unwrap();
    let (time, state, jobs) = (at("time"), at("state"), at("jobs"));
    let row = |row: csv::StringRecord| {
        (
            (row[time].to_owned(), row[state].to_owned()),
            thousandths(row[jobs].parse().unwrap()),
        )
    };
    reader
        .records()
        .map(|record| row(record.unwrap()))
        .collect()
}

fn drawn_rows(data: &Value) -> Rows {
    let times: Vec<String> = data["times"]
        .as_array()
        .unwrap()
        .iter()
        .map(|time| afmetrics_receiver::documents::time::text(time.as_i64().unwrap() * 1000))
        .collect();
    let mut all = Rows::new();
    for series in data["series"].as_array().unwrap() {
        let name = series["name"].as_str().unwrap();
        for (time, value) in times.iter().zip(series["values"].as_array().unwrap()) {
            if let Some(value) = value.as_f64() {
                all.insert((time.clone(), name.to_owned()), thousandths(value));
            }
        }
    }
    all
}
