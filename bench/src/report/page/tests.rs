//! What holds for the whole page, whatever is in the result.

use crate::report::{fixture, html};
use crate::result::{RunResult, SuiteResult};
use crate::suite::figure::tests::run;

const SECTIONS: [&str; 12] = [
    "headline",
    "gates",
    "peers",
    "latency",
    "offered-load",
    "chunk-size",
    "matrix",
    "time",
    "losses",
    "runs",
    "settings",
    "machine",
];

/// All pictures of a page, each as it stands there.
fn pictures(page: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = page;
    while let Some(start) = rest.find("<svg") {
        let mut depth = 0;
        let mut at = start;
        loop {
            let opens = rest[at..].find("<svg").map_or(usize::MAX, |step| at + step);
            let ends = at + rest[at..].find("</svg>").expect("every svg ends");
            depth += if opens < ends { 1 } else { -1 };
            at = opens.min(ends) + 1;
            if depth == 0 {
                let end = ends + "</svg>".len();
                found.push(&rest[start..end]);
                rest = &rest[end..];
                break;
            }
        }
    }
    found
}

/// A page without what would be mistaken for a number that is none.
fn assert_numbers(page: &str) {
    let visible = page.replace("preserveAspectRatio=\"none\"", "");
    for none in ["NaN", ">inf", " inf", "-inf", "Infinity"] {
        let at = visible.find(none);
        assert!(at.is_none(), "{}", &visible[at.unwrap().saturating_sub(80)..][..160]);
    }
}

#[test]
fn every_section_is_there_and_has_something() {
    let page = html(&fixture::suite());
    for id in SECTIONS {
        assert!(page.contains(&format!("<section id=\"{id}\"")), "{id}");
    }
    assert!(!page.contains("class=\"absent\""));
    assert!(page.len() < 1_000_000, "{} bytes", page.len());
    assert_numbers(&page);
}

#[test]
fn what_is_absent_is_said() {
    let page = html(&SuiteResult::default());
    for id in SECTIONS {
        assert!(page.contains(&format!("<section id=\"{id}\"")), "{id}");
    }
    assert_eq!(page.matches("class=\"absent\"").count(), 10);
    assert_numbers(&page);
}

#[test]
fn pictures_are_well_formed() {
    let page = html(&fixture::suite());
    let pictures = pictures(&page);
    assert!(pictures.len() > 50, "{}", pictures.len());
    for picture in pictures {
        let read = roxmltree::Document::parse(picture);
        let read = read.unwrap_or_else(|error| panic!("{error}: {picture}"));
        let root = read.root_element();
        let hidden = root.attribute("aria-hidden") == Some("true");
        let titled = root
            .children()
            .any(|child| child.has_tag_name(("http://www.w3.org/2000/svg", "title")));
        assert!(hidden || titled, "{picture}");
    }
}

#[test]
fn ids_are_told_apart_and_links_lead_somewhere() {
    let page = html(&fixture::suite());
    let after = |mark: &'static str| {
        page.split(mark).skip(1).map(|rest| rest.split('"').next().unwrap().to_owned())
    };
    let mut ids: Vec<String> = after(" id=\"").collect();
    ids.sort();
    let count = ids.len();
    ids.dedup();
    assert_eq!(ids.len(), count);
    for target in after("href=\"#") {
        assert!(ids.binary_search(&target).is_ok(), "{target}");
    }
}

#[test]
fn nothing_is_fetched_and_nothing_runs() {
    let page = html(&fixture::suite());
    for never in ["<script", "<link", "<img", "@import", "src=", "onload"] {
        assert!(!page.contains(never), "{never}");
    }
    // The name of SVG's namespace is no address that anything asks.
    let addresses = page.replace("http://www.w3.org/2000/svg", "");
    assert!(!addresses.contains("http://") && !addresses.contains("https://"));
}

#[test]
fn text_of_others_stays_text() {
    let evil = "\"'<script>&amp;</style>";
    let mut result = fixture::suite();
    result.suite = evil.into();
    result.about = evil.into();
    result.rerun = evil.into();
    result.machine.commit = evil.into();
    result.machine.sysctls.insert(evil.into(), evil.into());
    result.missing[0].why = evil.into();
    result.gates[0].name = evil.into();
    result.gates[0].note = Some(evil.into());
    result.gates[0].goal = evil.into();
    for run in &mut result.runs {
        run.name.push_str(evil);
        run.group.push_str(evil);
        run.about = evil.into();
        run.client = evil.into();
        run.command = evil.into();
        run.settings.insert(evil.into(), evil.into());
        for repeat in &mut run.repeats {
            repeat.client_bound = Some(evil.into());
            repeat.outcome.notes.push(evil.into());
            repeat.outcome.refusals.insert(evil.into(), 1);
        }
    }
    let page = html(&result);
    assert!(!page.contains("<script"));
    assert_eq!(page.matches("</style>").count(), 1);
    pictures(&page).iter().for_each(|picture| {
        roxmltree::Document::parse(picture).unwrap();
    });
}

#[test]
fn odd_results_make_a_page() {
    let mut nothing = run("nothing", &[(0.0, 0.0), (0.0, 0.0)]);
    nothing.repeats[0].outcome.seconds = 0.0;
    let mut odd = run("odd", &[(f64::MAX, f64::NAN), (1.0, f64::INFINITY)]);
    odd.repeats[1].outcome.seconds = f64::NAN;
    let mut all_failed = run("all-failed", &[(1.0, 1.0)]);
    all_failed.repeats[0].outcome.failed = Some("made up".into());
    let unknown = RunResult { server: "never-heard-of".into(), ..run("unknown", &[(1.0, 1.0)]) };
    let base = vec![nothing, odd, all_failed, unknown, run("never-ran", &[])];
    for series in [None, Some("time"), Some("matrix"), Some("chunk-size"), Some("offered-load")] {
        let mut runs = base.clone();
        runs.iter_mut().for_each(|run| run.series = series.map(str::to_owned));
        let page = html(&SuiteResult { runs, ..SuiteResult::default() });
        assert_numbers(&page);
        pictures(&page).iter().for_each(|picture| {
            roxmltree::Document::parse(picture).unwrap();
        });
    }
}

/// Not a test of anything: writes the made-up result and its page where somebody wants to look.
#[test]
fn the_page_can_be_looked_at() {
    let Some(folder) = std::env::var_os("SLUICE_BENCH_LOOK") else { return };
    let folder = std::path::PathBuf::from(folder);
    let suite = fixture::suite();
    std::fs::write(folder.join("made-up.html"), html(&suite)).unwrap();
    let json = serde_json::to_string(&suite).unwrap();
    std::fs::write(folder.join("made-up.json"), json).unwrap();
}
