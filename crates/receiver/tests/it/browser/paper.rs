//! A page on paper: the report that somebody prints, or keeps as a PDF.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::site::Site;
use super::tab::browse;

/// `/Type /Page` of each page, and of their tree.
const PAGE: &[u8] = b"/Type /Page";

#[test]
fn a_page_prints_as_a_report() {
    let site = Site::filled();
    browse(site.url(), |tab| {
        tab.screen(1920, 1080, false);
        tab.log_in(&site.viewer);
        tab.go("/batch");
        tab.wait_for_charts();
        let printed = tab.driver.chrome("Page.printToPDF", json!({}));
        let pdf = STANDARD.decode(printed["data"].as_str().unwrap()).unwrap();
        assert!(pdf.starts_with(b"%PDF-"));
        assert!(pdf.len() > 1_000, "{}", pdf.len());
        let pages = pdf.windows(PAGE.len()).filter(|part| *part == PAGE).count();
        assert!((2..20).contains(&pages), "{pages} pages");
        // The page on the screen is as it was.
        tab.wait_for_charts();
        assert!(tab.is_seen("header nav"));
    });
}
