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

/// Charts that were drawn for a screen fit on paper: A4 and Letter are some 720 points of CSS wide between
/// their edges.
#[test]
fn charts_are_as_wide_as_paper() {
    let site = Site::filled();
    browse(site.url(), |tab| {
        // Charts stand below each other here, as wide as the screen.
        tab.screen(980, 900, false);
        tab.log_in(&site.viewer);
        tab.go("/batch");
        tab.wait_for_charts();
        let widest = "Math.max(...[...document.querySelectorAll('canvas')]\
            .map(canvas => canvas.getBoundingClientRect().width))";
        tab.wait("charts of the screen", &format!("{widest} > 720"));
        let on_paper = json!({"media": "print"});
        tab.driver.chrome("Emulation.setEmulatedMedia", on_paper);
        tab.run("dispatchEvent(new Event('beforeprint'))");
        tab.wait("charts of paper", &format!("{widest} < 720"));
        tab.run("dispatchEvent(new Event('afterprint'))");
        tab.prefer("light");
        tab.wait("charts of the screen again", &format!("{widest} > 720"));
    });
}
