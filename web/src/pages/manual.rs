//! The manual: the help of every page that an account can come to, to print; and exercises where nothing is real.

use crate::App;
use crate::page::{Page, Signed, help_of, html};
use askama::Template;
use axum::Router;
use axum::response::Response;
use axum::routing::get;
use casemesh_node::policy::Ask;

pub(crate) fn routes() -> Router<App> {
    Router::new().route("/manual", get(show))
}

/// Exercises of a practice node.
const EXERCISES: usize = 7;

#[derive(Template)]
#[template(path = "manual.html")]
struct ManualPage {
    page: Page,
    chapters: Vec<&'static str>,
    exercises: Vec<String>,
}

/// The pages, in the order in which somebody learns them, and what an account must be able to do to need them.
const CHAPTERS: &[(&str, Option<Ask>)] = &[
    ("/", None),
    ("/account", None),
    ("/register", Some(Ask::Register)),
    ("/find", Some(Ask::People)),
    ("/people/new", Some(Ask::People)),
    ("/people/x", Some(Ask::People)),
    ("/families/new", Some(Ask::People)),
    ("/duplicates", Some(Ask::People)),
    ("/people/x/cases/new", Some(Ask::OpenCase)),
    ("/cases", Some(Ask::Register)),
    ("/cases/x", Some(Ask::Register)),
    ("/cases/x/entries/x", Some(Ask::Register)),
    ("/people/x/consents/new", Some(Ask::RecordConsent)),
    ("/cases/x/refer", Some(Ask::OpenCase)),
    ("/referrals", Some(Ask::AnswerReferrals)),
    ("/referrals/x", Some(Ask::AnswerReferrals)),
    ("/network", Some(Ask::AnswerReferrals)),
    ("/tasks", Some(Ask::Register)),
    ("/people/x/view", Some(Ask::People)),
    ("/cases/x/history", Some(Ask::Register)),
    ("/office", Some(Ask::Register)),
    ("/figures", Some(Ask::SeeFigures)),
    ("/reports", Some(Ask::SeeFigures)),
    ("/samples", Some(Ask::SeeFigures)),
    ("/areas", Some(Ask::SeeFigures)),
    ("/quality", Some(Ask::Register)),
    ("/grants", Some(Ask::SeeFigures)),
    ("/requests", None),
    ("/emergency", Some(Ask::BreakGlass)),
    ("/tables", Some(Ask::ApproveTable)),
    ("/proposals", Some(Ask::ApproveTable)),
    ("/collector", Some(Ask::SeeCollected)),
    ("/places", Some(Ask::SeeFigures)),
    ("/review", Some(Ask::HandOver)),
    ("/people/x/erase", Some(Ask::Erase)),
    ("/links", Some(Ask::FindLinks)),
    ("/lists", None),
    ("/staff", Some(Ask::Administer)),
    ("/log", Some(Ask::ReadLog)),
    ("/drafts/x", None),
];

async fn show(signed: Signed) -> Response {
    let chapters = CHAPTERS.iter().filter(|(_, ask)| ask.is_none_or(|ask| signed.desk.may(ask)));
    let chapters = chapters.filter_map(|(path, _)| help_of(path)).collect();
    let exercises = if signed.page.practice { EXERCISES } else { 0 };
    html(&ManualPage {
        exercises: (1..=exercises).map(|number| signed.page.t(&format!("practice-{number}"))).collect(),
        page: signed.page,
        chapters,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_has_help_and_every_help_is_in_the_manual() {
        let english = include_str!("../../locales/en.ftl");
        let mut told: Vec<&str> = CHAPTERS.iter().filter_map(|(path, _)| help_of(path)).collect();
        told.extend(["others", "sign-in"]);
        for line in english.lines().filter(|line| line.starts_with("help-")) {
            let key = line.split_once(" =").unwrap().0.trim_start_matches("help-");
            assert!(told.contains(&key), "{key} is not in the manual");
        }
        let sources = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/pages")).unwrap();
        for source in sources {
            let source = std::fs::read_to_string(source.unwrap().path()).unwrap();
            for route in
                source.split(".route(\"").skip(1).filter(|route| route.lines().next().unwrap().contains("get("))
            {
                let path = route.split('"').next().unwrap();
                if path.starts_with("/api/") {
                    continue;
                }
                let help = help_of(path).filter(|help| english.contains(&format!("\nhelp-{help} =")));
                assert!(help.is_some() || ["/manual", "/away", "/pulse"].contains(&path), "{path} has no help");
            }
        }
    }
}
