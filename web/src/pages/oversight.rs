//! Pages that look across entries and cases: the chain of a case, what clients have in common, free places, the review.

use super::figures::{Days, period};
use crate::App;
use crate::form::Form;
use crate::page::{Page, Signed, html, html_with};
use askama::Template;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use casemesh_node::office::{PartyChain, PlaceView, ReviewRow, ReviewView, SharedBy};
use casemesh_protocol::id::RecordId;
use casemesh_protocol::time::{Day, Period};
use serde::Deserialize;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/cases/{id}/chain", get(chain))
        .route("/links", get(links))
        .route("/places", get(places))
        .route("/review", get(review))
}

#[derive(Template)]
#[template(path = "chain.html")]
struct ChainPage {
    page: Page,
    case: RecordId,
    chains: Vec<PartyChain>,
}

async fn chain(State(app): State<App>, Path(id): Path<RecordId>, signed: Signed) -> Response {
    let desk = signed.desk.clone();
    match app.run(move || desk.case_chains(id)).await {
        Ok(chains) => html(&ChainPage { page: signed.page, case: id, chains }),
        Err(error) => signed.refused(&error),
    }
}

#[derive(Template)]
#[template(path = "links.html")]
struct LinksPage {
    page: Page,
    links: Vec<SharedBy>,
    more: usize,
}

async fn links(State(app): State<App>, signed: Signed) -> Response {
    let desk = signed.desk.clone();
    match app.run(move || desk.find_links()).await {
        Ok((links, more)) => html(&LinksPage { page: signed.page, links, more }),
        Err(error) => signed.refused(&error),
    }
}

#[derive(Template)]
#[template(path = "places.html")]
struct PlacesPage {
    page: Page,
    places: Vec<PlaceView>,
    may_write: bool,
}

async fn places(State(app): State<App>, signed: Signed) -> Response {
    let desk = signed.desk.clone();
    match app.run(move || desk.places()).await {
        Ok(places) => {
            let forms = signed.desk.forms(casemesh_node::forms::About::Office);
            let may_write = forms.iter().any(|form| form.id == "place");
            html(&PlacesPage { page: signed.page, places, may_write })
        }
        Err(error) => signed.refused(&error),
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    from: String,
    to: String,
    names: bool,
}

#[derive(Template)]
#[template(path = "review.html")]
struct ReviewPage {
    page: Page,
    form: Form,
    review: Option<ReviewView>,
    sum: ReviewRow,
    names: bool,
    colleagues: Vec<(String, String)>,
    /// Where a decision brings back to.
    here: String,
    /// The day on which a decision is due where nobody says another.
    next_week: String,
}

/// The quarter up to a day.
fn quarter(today: Day) -> Option<Period> {
    let first = Day::new(today.year(), (today.month() - 1) / 3 * 3 + 1, 1)?;
    Period::new(first, today)
}

fn sum(rows: &[ReviewRow]) -> ReviewRow {
    let of = |count: fn(&ReviewRow) -> usize| rows.iter().map(count).sum();
    ReviewRow {
        name: String::new(),
        opened: of(|row| row.opened),
        closed: of(|row| row.closed),
        open: of(|row| row.open),
        stale: of(|row| row.stale),
        overdue: of(|row| row.overdue),
        no_task: of(|row| row.no_task),
        no_type: of(|row| row.no_type),
        late: of(|row| row.late),
    }
}

async fn review(State(app): State<App>, signed: Signed, Query(asked): Query<Asked>) -> Response {
    let today = signed.desk.today();
    let days = Days { from: asked.from, to: asked.to, ..Days::default() };
    let (period, problems) = match period(&days.from, &days.to) {
        Ok(period) => (period.or_else(|| quarter(today)), Vec::new()),
        Err(problems) => (None, problems),
    };
    let mut form = days.shown(period);
    form.set("names", if asked.names { "true" } else { "" });
    let desk = signed.desk.clone();
    let loaded = app.run(move || {
        let Some(period) = period else { return desk.review_allowed().map(|()| None) };
        desk.review(period).map(Some)
    });
    let review = match loaded.await {
        Ok(review) => review,
        Err(error) => return signed.refused(&error),
    };
    let status = if problems.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    html_with(
        status,
        &ReviewPage {
            here: format!("/review?from={}&to={}&names={}", form.get("from"), form.get("to"), asked.names),
            form: form.with_problems(problems),
            sum: review.as_ref().map(|review| sum(&review.rows)).unwrap_or_default(),
            review,
            names: asked.names,
            colleagues: signed.desk.colleagues().into_iter().map(|(id, name)| (id.to_string(), name)).collect(),
            next_week: today.plus_days(7).to_string(),
            page: signed.page,
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_begins_in_january_april_july_and_october() {
        for (today, first) in [("2026-01-01", "2026-01-01"), ("2026-03-31", "2026-01-01"), ("2026-11-22", "2026-10-01")]
        {
            let quarter = quarter(today.parse().unwrap()).unwrap();
            assert_eq!((quarter.from.to_string(), quarter.to.to_string()), (first.into(), today.to_owned()));
        }
    }
}
