//! What the network asks and how this office answers it, the exact table before it goes, and what a collector holds.

use crate::App;
use crate::documents::handed_out;
use crate::form::Form;
use crate::page::{Page, Sent, Signed, go, html_with};
use crate::pages::areas::MapPage;
use crate::pages::figures::{Days, TrendPage, period, saved};
use askama::Template;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Multipart, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use casemesh_node::office::{
    AgreementView, AnsweringInput, ClassView, CollectedView, DeskError, FINISHED_BYTES_MAX, FieldProblem, FigureView,
    HandedOut, OfficeFigures, PatternView, TablePreview,
};
use casemesh_node::policy::Ask;
use casemesh_protocol::statistics::{Rhythm, Way};
use casemesh_protocol::time::{Day, Period};
use serde::Deserialize;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/tables", get(all).post(answer))
        .route("/tables/show", get(show).post(approve))
        .route("/tables/blank", get(blank))
        .route("/tables/finished", post(finished))
        .route("/tables/finished/send", post(send_finished))
        .layer(DefaultBodyLimit::max(4 * FINISHED_BYTES_MAX))
        .route("/collector", get(collected).post(send_up))
        .route("/collector/table", get(collected_table))
        .route("/collector/time", get(collected_time))
        .route("/collector/map", get(collected_map))
        .route("/collector/patterns", get(patterns))
}

#[derive(Debug, Default, Deserialize)]
struct Asked {
    #[serde(default)]
    agreement: String,
    /// Of the offices that serve that area alone; empty for all.
    #[serde(default)]
    region: String,
    /// Whose figures are shown; empty for all together.
    #[serde(default)]
    office: String,
    /// Which figure is shown over time.
    #[serde(default)]
    figure: String,
    #[serde(flatten)]
    days: Days,
}

impl Asked {
    /// What a form about a period of an agreement names.
    fn of(form: &Form) -> Self {
        let days = Days { from: form.text("from"), to: form.text("to"), ..Days::default() };
        Self { agreement: form.text("agreement"), days, ..Self::default() }
    }

    fn region(&self) -> Option<String> {
        Some(self.region.clone()).filter(|region| !region.is_empty())
    }
}

fn address(agreement: &str, period: &Period) -> String {
    format!("agreement={agreement}&from={}&to={}", period.from, period.to)
}

fn address_in(agreement: &str, period: &Period, region: Option<&str>) -> String {
    let of_region = |region: &str| {
        let region: String = form_urlencoded::byte_serialize(region.as_bytes()).collect();
        format!("&region={region}")
    };
    format!("{}{}", address(agreement, period), region.map(of_region).unwrap_or_default())
}

#[derive(Template)]
#[template(path = "tables.html")]
struct TablesPage {
    page: Page,
    form: Form,
    agreements: Vec<AgreementView>,
    problems: Vec<String>,
}

impl TablesPage {
    /// What was typed about an agreement; what holds where nothing was.
    fn typed(&self, agreement: &AgreementView, field: &str, holds: &str) -> String {
        let is_its = self.form.get("agreement") == agreement.id;
        if is_its && self.form.pairs().iter().any(|(name, _)| name == field) {
            self.form.text(field)
        } else {
            holds.into()
        }
    }

    fn title<'a>(&self, titles: &'a std::collections::BTreeMap<String, String>) -> &'a str {
        let said = titles.get(self.page.language.code).or_else(|| titles.get("en"));
        said.map_or("", String::as_str)
    }
}

async fn tables_page(app: &App, signed: Signed, form: Form) -> Response {
    let desk = signed.desk.clone();
    let status = form.status();
    match app.run(move || desk.agreements()).await {
        Ok((agreements, problems)) => html_with(status, &TablesPage { page: signed.page, form, agreements, problems }),
        Err(error) => signed.refused(&error),
    }
}

async fn all(State(app): State<App>, signed: Signed) -> Response {
    tables_page(&app, signed, Form::default()).await
}

async fn answer(State(app): State<App>, Sent { signed, form }: Sent) -> Response {
    let desk = signed.desk.clone();
    let input = AnsweringInput {
        agreement: form.text("agreement"),
        answering: form.text("answering"),
        reason: form.text("reason"),
        text: form.text("text"),
    };
    match app.run(move || desk.answer_agreement(&input)).await {
        Ok(()) => go("/tables"),
        Err(DeskError::Invalid(problems)) => tables_page(&app, signed, form.with_problems(problems)).await,
        Err(error) => signed.refused(&error),
    }
}

#[derive(Template)]
#[template(path = "table.html")]
struct TablePage {
    page: Page,
    form: Form,
    table: TablePreview,
    /// The finished table of another system that these are the numbers of; empty where they were counted here.
    finished: String,
}

async fn table_page(app: &App, signed: Signed, asked: Asked, problems: Vec<FieldProblem>) -> Response {
    let (desk, agreement) = (signed.desk.clone(), asked.agreement.clone());
    // Days that are none are asked for again, as they were typed.
    let shown = match period(&asked.days.from, &asked.days.to) {
        Ok(Some(shown)) => shown,
        Ok(None) => return tables_page(app, signed, Form::default()).await,
        Err(wrong) => {
            let mut form = asked.days.shown(None);
            form.set("agreement", asked.agreement);
            return tables_page(app, signed, form.with_problems(wrong)).await;
        }
    };
    match app.run(move || desk.table_preview(&agreement, shown)).await {
        Ok(table) => {
            let status = if problems.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
            let form = asked.days.shown(Some(shown)).with_problems(problems);
            html_with(status, &TablePage { page: signed.page, form, table, finished: String::new() })
        }
        Err(error) => signed.refused(&error),
    }
}

async fn show(State(app): State<App>, signed: Signed, Query(asked): Query<Asked>) -> Response {
    table_page(&app, signed, asked, Vec::new()).await
}

async fn approve(State(app): State<App>, Sent { signed, form }: Sent) -> Response {
    let asked = Asked::of(&form);
    let Ok(Some(period)) = period(&asked.days.from, &asked.days.to) else {
        return table_page(&app, signed, asked, Vec::new()).await;
    };
    let (desk, agreement, seen) = (signed.desk.clone(), asked.agreement.clone(), form.text("seen"));
    match app.run(move || desk.approve_table(&agreement, period, Some(seen))).await {
        Ok(_) => go("/tables"),
        Err(DeskError::Invalid(problems)) => table_page(&app, signed, asked, problems).await,
        Err(error) => signed.refused(&error),
    }
}

/// The file in which a finished table is handed in, with the figures and classes that are asked for.
async fn blank(State(app): State<App>, signed: Signed, Query(asked): Query<Asked>) -> Response {
    let (desk, language) = (signed.desk.clone(), signed.page.language.code);
    let name = format!("{}.csv", asked.agreement);
    let made = app.run(move || {
        let (head, rows) = desk.finished_blank(&asked.agreement, language)?;
        casemesh_node::table::csv(&head, &rows).map_err(|error| DeskError::Partner(error.to_string()))
    });
    match made.await {
        Ok(bytes) => handed_out(HandedOut { name, media_type: "text/csv; charset=utf-8", bytes }),
        Err(error) => signed.refused(&error),
    }
}

/// What a finished table may tell, before it leaves.
async fn finished(State(app): State<App>, signed: Signed, parts: Multipart) -> Response {
    match crate::documents::read(parts, FINISHED_BYTES_MAX).await {
        Ok((form, _, file)) if file.len() <= FINISHED_BYTES_MAX => {
            let text = String::from_utf8_lossy(&file).into_owned();
            finished_page(&app, signed, &form, text, Vec::new()).await
        }
        Ok((form, ..)) => {
            let too_long = FieldProblem::with("table", "file-too-long", FINISHED_BYTES_MAX.div_ceil(1024 * 1024));
            table_page(&app, signed, Asked::of(&form), vec![too_long]).await
        }
        Err(problem) => {
            let form = Form::default().with_problems(vec![problem]);
            tables_page(&app, signed, form).await
        }
    }
}

async fn send_finished(State(app): State<App>, Sent { signed, form }: Sent) -> Response {
    let (desk, agreement, seen) = (signed.desk.clone(), form.text("agreement"), form.text("seen"));
    let Ok(Some(period)) = period(&form.text("from"), &form.text("to")) else {
        return tables_page(&app, signed, Form::default()).await;
    };
    let text = form.text("table");
    let sent = text.clone();
    match app.run(move || desk.approve_finished(&agreement, period, (sent.as_bytes(), seen))).await {
        Ok(_) => go("/tables"),
        Err(DeskError::Invalid(problems)) => finished_page(&app, signed, &form, text, problems).await,
        Err(error) => signed.refused(&error),
    }
}

/// The table that a finished one becomes; where something in the file is wrong, what to change and no cells.
async fn finished_page(
    app: &App,
    signed: Signed,
    form: &Form,
    finished: String,
    problems: Vec<FieldProblem>,
) -> Response {
    let asked = Asked::of(form);
    let Ok(Some(shown)) = period(&asked.days.from, &asked.days.to) else {
        return table_page(app, signed, asked, Vec::new()).await;
    };
    let (desk, agreement, text) = (signed.desk.clone(), asked.agreement.clone(), finished.clone());
    match app.run(move || desk.finished_preview(&agreement, shown, text.as_bytes())).await {
        Ok(table) => {
            let form = asked.days.shown(Some(shown)).with_problems(problems);
            html_with(form.status(), &TablePage { page: signed.page, form, table, finished })
        }
        Err(DeskError::Invalid(problems)) => table_page(app, signed, asked, problems).await,
        Err(error) => signed.refused(&error),
    }
}

#[derive(Template)]
#[template(path = "collector.html")]
struct CollectorPage {
    page: Page,
    form: Form,
    collected: CollectedView,
    /// Senders, those that told in time, and offices that were asked.
    senders: usize,
    in_time: usize,
    /// How many offices answered, and of how many.
    told: usize,
    asked: usize,
    /// Whose figures are shown instead of all together.
    office: String,
}

impl CollectorPage {
    fn chosen(&self) -> Option<&OfficeFigures> {
        self.collected.offices.iter().find(|office| office.key() == self.office)
    }

    fn address(&self) -> String {
        address_in(&self.collected.agreement, &self.collected.period, self.collected.region.as_deref())
    }

    fn address_of(&self, agreement: &str, period: &Period) -> String {
        address(agreement, period)
    }
}

async fn collected(State(app): State<App>, signed: Signed, Query(asked): Query<Asked>) -> Response {
    collector_page(&app, signed, asked, Vec::new()).await
}

async fn collector_page(app: &App, signed: Signed, asked: Asked, refused: Vec<FieldProblem>) -> Response {
    let (named, problems) = match period(&asked.days.from, &asked.days.to) {
        Ok(period) => (period, refused),
        Err(problems) => (None, problems),
    };
    let (desk, region, office) = (signed.desk.clone(), asked.region(), asked.office.clone());
    match app.run(move || desk.collected_in(&asked.agreement, named, region.as_deref())).await {
        Ok(collected) => {
            let status = if problems.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
            let shown = Some(collected.period).filter(|_| named.is_some() || problems.is_empty());
            let form = asked.days.shown(shown).with_problems(problems);
            let (senders, in_time) = (collected.offices.len(), collected.in_time());
            let told = collected.told + collected.left_out.len();
            let (page, asked) = (signed.page, told + collected.silent.len());
            html_with(status, &CollectorPage { page, form, collected, senders, in_time, told, asked, office })
        }
        Err(error) => signed.refused(&error),
    }
}

/// Sends the total to the collector above.
async fn send_up(State(app): State<App>, Sent { signed, form }: Sent) -> Response {
    if !signed.desk.may(Ask::ApproveTable) {
        return signed.refused(&DeskError::Denied(casemesh_node::policy::Denied));
    }
    let asked = Asked::of(&form);
    let Ok(Some(period)) = period(&asked.days.from, &asked.days.to) else {
        return collector_page(&app, signed, asked, Vec::new()).await;
    };
    let (desk, agreement, seen) = (signed.desk.clone(), asked.agreement.clone(), form.text("seen"));
    match app.run(move || desk.send_sum(&agreement, period, seen)).await {
        Ok(_) => go(&format!("/collector?{}#upward", address(&asked.agreement, &period))),
        Err(DeskError::Invalid(problems)) => collector_page(&app, signed, asked, problems).await,
        Err(error) => signed.refused(&error),
    }
}

/// A total over time.
async fn collected_time(State(app): State<App>, signed: Signed, Query(asked): Query<Asked>) -> Response {
    let (desk, agreement, figure, region) =
        (signed.desk.clone(), asked.agreement.clone(), asked.figure.clone(), asked.region());
    let back = match period(&asked.days.from, &asked.days.to) {
        Ok(Some(period)) => address_in(&asked.agreement, &period, asked.region().as_deref()),
        _ => String::new(),
    };
    match app.run(move || desk.collected_trend(&agreement, &figure, region.as_deref())).await {
        Ok(trend) => html_with(StatusCode::OK, &TrendPage::of(signed.page, trend, Some(back))),
        Err(error) => signed.refused(&error),
    }
}

/// A total by the areas that offices serve, on the map.
async fn collected_map(State(app): State<App>, signed: Signed, Query(asked): Query<Asked>) -> Response {
    let Ok(Some(shown)) = period(&asked.days.from, &asked.days.to) else {
        return collector_page(&app, signed, asked, Vec::new()).await;
    };
    let back = address(&asked.agreement, &shown);
    let desk = signed.desk.clone();
    match app.run(move || desk.collected_on_map(&asked.agreement, &asked.figure, shown)).await {
        Ok(map) => MapPage { page: signed.page, map, collector: Some(back), of_grant: false }.answer(),
        Err(error) => signed.refused(&error),
    }
}

#[derive(Template)]
#[template(path = "patterns.html")]
struct PatternsPage {
    page: Page,
    patterns: Vec<PatternView>,
    /// Whether any agreement asks for patterns.
    asks: bool,
}

impl PatternsPage {
    fn offices(&self, one: &PatternView) -> String {
        self.page.n64("patterns-offices", &u64::try_from(one.offices).unwrap_or_default())
    }

    fn address(&self, one: &PatternView) -> String {
        format!("/collector?{}", address(&one.agreement, &one.period))
    }
}

/// What is reported in many offices at once.
async fn patterns(State(app): State<App>, signed: Signed) -> Response {
    let desk = signed.desk.clone();
    match app.run(move || desk.patterns()).await {
        Ok((patterns, asks)) => html_with(StatusCode::OK, &PatternsPage { page: signed.page, patterns, asks }),
        Err(error) => signed.refused(&error),
    }
}

/// What an office told, as DHIS2 imports it (ADX, urn:ihe:qrph:adx:2015).
#[derive(Template)]
#[template(path = "adx.xml")]
struct Adx {
    exported: String,
    period: String,
    data_set: String,
    groups: Vec<AdxGroup>,
}

/// What one office told, or all together, and when.
struct AdxGroup {
    org_unit: String,
    complete: Day,
    values: Vec<AdxValue>,
}

/// One value: its data element, the categories that it is told apart by, and how much.
struct AdxValue {
    element: String,
    categories: Vec<(String, String)>,
    value: String,
}

/// A name as XML and DHIS2 take it: capitals, digits and `_`, a letter first.
fn adx_name(text: &str) -> String {
    let word: String =
        text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    if word.starts_with(|c: char| c.is_ascii_alphabetic()) { word } else { format!("X_{word}") }
}

/// The values of figures. What is withheld is left out, for it is no zero; so are totals, which DHIS2 adds up itself; what is missing
/// and excluded has elements of its own.
fn adx_values(figures: &[FigureView]) -> Vec<AdxValue> {
    let mut all = Vec::new();
    for figure in figures {
        let element = adx_name(&figure.id);
        let counts = [("MISSING", figure.missing), ("EXCLUDED", figure.excluded)];
        for cell in figure.cells.iter().filter(|cell| !cell.is_total()) {
            let Some(value) = cell.value.clone() else { continue };
            let category = |class: &ClassView| match class {
                ClassView::Code(code) => (adx_name(&code.list), adx_name(&code.code)),
                ClassView::From { from, to: Some(to) } => ("CLASS".into(), format!("{from}-{}", to - 1)),
                ClassView::From { from, to: None } => ("CLASS".into(), format!("{from}+")),
                ClassView::All => ("CLASS".into(), "ALL".into()),
            };
            let categories = cell.classes.iter().map(category).collect();
            all.push(AdxValue { element: element.clone(), categories, value });
        }
        for (name, count) in counts {
            if let Some(count) = count {
                let element = format!("{element}_{name}");
                all.push(AdxValue { element, categories: Vec::new(), value: count.to_string() });
            }
        }
    }
    all
}

/// A period as ISO 8601 has it: a month, a quarter, a year, or so many days.
fn adx_period(period: &Period) -> String {
    let long = [(Rhythm::Month, "P1M"), (Rhythm::Quarter, "P3M"), (Rhythm::Year, "P1Y")];
    let long = long.iter().find(|(rhythm, _)| rhythm.around(period.from) == Some(*period));
    let days = || format!("P{}D", period.from.days_to(period.to) + 1);
    format!("{}/{}", period.from, long.map_or_else(days, |(_, long)| (*long).to_owned()))
}

fn adx(signed: &Signed, collected: &CollectedView, name: &str) -> Response {
    let of_office = |office: &OfficeFigures| AdxGroup {
        org_unit: office.key(),
        complete: office.at.day(),
        values: adx_values(&office.figures),
    };
    // Of a sum there is nothing of one office.
    let of_all = |complete: Day| AdxGroup {
        org_unit: collected.network.clone(),
        complete,
        values: adx_values(&collected.total),
    };
    let groups = match collected.way {
        Way::Plain => collected.offices.iter().map(of_office).collect(),
        Way::SecureSum | Way::NoisySum => {
            collected.offices.iter().map(|office| office.at.day()).max().map(of_all).into_iter().collect()
        }
    };
    let (period, data_set) = (adx_period(&collected.period), adx_name(&collected.agreement));
    let document = Adx { exported: signed.desk.now().to_string(), period, data_set, groups };
    match document.render() {
        Ok(text) => handed_out(HandedOut {
            name: format!("{name}.xml"),
            media_type: "application/xml; charset=utf-8",
            bytes: text.into_bytes(),
        }),
        Err(error) => signed.refused(&DeskError::Partner(error.to_string())),
    }
}

/// The totals as a table for a spreadsheet.
async fn collected_table(State(app): State<App>, signed: Signed, Query(asked): Query<Asked>) -> Response {
    let named = period(&asked.days.from, &asked.days.to).ok().flatten();
    let (desk, agreement, region) = (signed.desk.clone(), asked.agreement.clone(), asked.region());
    match app.run(move || desk.collected_in(&agreement, named, region.as_deref())).await {
        Ok(collected) => {
            let name = format!("{}-{}-{}", collected.agreement, collected.period.from, collected.period.to);
            match asked.days.format.as_str() {
                "adx" => adx(&signed, &collected, &name),
                format => saved(&signed, &collected.total, &name, format == "xlsx"),
            }
        }
        Err(error) => signed.refused(&error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use casemesh_node::office::{CellView, CodeView};
    use casemesh_protocol::terms::Code;

    #[test]
    fn adx_leaves_out_what_is_withheld_and_names_what_is_missing() {
        let code = |code: &str| ClassView::Code(CodeView::from(&Code::new("sex", 1, code, code).unwrap()));
        let cell = |class, value: Option<&str>| CellView {
            classes: vec![class],
            value: value.map(str::to_owned),
            ..CellView::default()
        };
        let figure = FigureView {
            id: "new-people".into(),
            cells: vec![cell(code("female"), Some("40")), cell(code("male<"), None), cell(ClassView::All, Some("55"))],
            covered: Some(57),
            missing: Some(2),
            withheld: 2,
            ..FigureView::default()
        };
        let group = AdxGroup {
            org_unit: "a&b".into(),
            complete: "2026-04-02".parse().unwrap(),
            values: adx_values(std::slice::from_ref(&figure)),
        };
        let quarter = Period::new("2026-01-01".parse().unwrap(), "2026-03-31".parse().unwrap()).unwrap();
        let text = Adx {
            exported: "2026-04-03T00:00:00Z".into(),
            period: adx_period(&quarter),
            data_set: adx_name("3 numbers"),
            groups: vec![group],
        }
        .render()
        .unwrap();
        assert!(text.contains("period=\"2026-01-01/P3M\"") && text.contains("dataSet=\"X_3_NUMBERS\""), "{text}");
        assert!(text.contains("<dataValue dataElement=\"NEW_PEOPLE\" SEX=\"FEMALE\" value=\"40\"/>"), "{text}");
        assert!(text.contains("dataElement=\"NEW_PEOPLE_MISSING\" value=\"2\""), "{text}");
        assert!(!text.contains("MALE_\"") && !text.contains("55") && !text.contains("a&b"), "{text}");
    }
}
