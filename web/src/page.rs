//! What every page has: language, texts, who is signed in, where they can go.

use crate::App;
use crate::charts::{self, Pyramid, Stack};
use crate::form::Form;
use crate::i18n::{self, LANGUAGES, Language, PARTIAL};
use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use casemesh_node::node::Config;
use casemesh_node::office::{
    ClassView, CodeView, DefinitionView, Desk, DeskError, Field, FieldProblem, FigureView, RequestView, RequestedView,
    WaitView,
};
use casemesh_node::policy::Ask;
use casemesh_node::records::TaskTitle;
use casemesh_node::vault::VaultError;
use casemesh_node::vocabulary::{Term, Vocabulary};
use casemesh_node::zone::Zone;
use casemesh_protocol::indicators::{OTHERS, Rule, SEVERAL};
use casemesh_protocol::terms::{Code, Never};
use casemesh_protocol::time::{Day, Timestamp};
use fluent_bundle::FluentValue;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The key of a code's text.
pub(crate) fn code_key(list: &str, code: &str) -> String {
    let plain: String = code.chars().map(|c| if c == '_' || c == '+' { '-' } else { c }).collect();
    format!("code-{}-{}", list.replace('_', "-"), plain.trim_end_matches('-'))
}

/// A link of the navigation.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub(crate) href: &'static str,
    pub(crate) key: &'static str,
}

/// The context of a page.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    pub(crate) language: Language,
    pub(crate) office: String,
    /// Whether the node is for practice alone.
    pub(crate) practice: bool,
    pub(crate) staff: Option<String>,
    pub(crate) links: Vec<Link>,
    pub(crate) here: String,
    pub(crate) notice: Option<String>,
    /// Code lists and forms of the office.
    pub(crate) vocabulary: Arc<Vocabulary>,
    /// The field that a practised worker starts in; none when the page is read first.
    pub(crate) focus: &'static str,
    /// The time zone of the office.
    pub(crate) zone: Zone,
    /// Whether the person can lock the session and come back with a PIN.
    pub(crate) has_pin: bool,
}

impl Page {
    /// A page for somebody who is not signed in.
    pub(crate) fn outside(language: Language, config: &Config, here: &str) -> Self {
        Self {
            language,
            office: config.name.clone(),
            practice: config.practice,
            staff: None,
            links: Vec::new(),
            here: here.to_owned(),
            notice: None,
            vocabulary: Arc::default(),
            focus: "",
            zone: Zone::default(),
            has_pin: false,
        }
    }

    /// What the page is for, in a few sentences; none where there is nothing to say.
    pub(crate) fn help(&self) -> Option<String> {
        self.language.maybe(&format!("help-{}", help_of(&self.here)?))
    }

    /// The title of a chapter of the manual: that of the page it is about.
    pub(crate) fn chapter(&self, help: &str) -> String {
        self.t(match help {
            "register" => "nav-register",
            "find" => "nav-find",
            "person-form" => "person-new",
            "person" => "person-title",
            "consent" => "consent-record",
            "case-form" => "case-open",
            "cases" => "nav-cases",
            "case" => "action-add",
            "entry" => "entries",
            "refer" => "refer",
            "referrals" | "referral" => "nav-referrals",
            "tasks" => "nav-tasks",
            "office" => "nav-office",
            "figures" => "nav-figures",
            "hers" => "hers-link",
            "staff" => "nav-staff",
            "log" => "nav-log",
            "collector" => "nav-collector",
            "draft" => "home-drafts",
            "home" => "nav-home",
            "family" => "family",
            "duplicates" => "duplicates",
            "history" => "history",
            "grants" => "grants",
            "lists" => "lists",
            "erase" => "erase",
            "review" => "review",
            "links" => "links",
            "places" => "places",
            "network" => "network",
            "account" => "account",
            "emergency" => "emergency",
            "requests" => "requests",
            _ => "help",
        })
    }

    /// The same page, with the cursor in a field.
    pub(crate) fn starting_in(mut self, field: &'static str) -> Self {
        self.focus = field;
        self
    }

    pub(crate) fn t(&self, key: &str) -> String {
        self.language.text(key, &[])
    }

    pub(crate) fn t1<V: ToString + ?Sized>(&self, key: &str, name: &str, value: &V) -> String {
        self.language.text(key, &[(name, FluentValue::from(value.to_string()))])
    }

    /// What was planned, and how much of it was achieved.
    pub(crate) fn planned(&self, planned: &u64, achieved: &u64) -> String {
        let values = [("planned", FluentValue::from(*planned)), ("achieved", FluentValue::from(*achieved))];
        self.language.text("report-planned", &values)
    }

    /// A text with two numbers in it.
    pub(crate) fn told_of(&self, key: &str, told: &usize, all: &usize) -> String {
        self.language.text(key, &[("told", FluentValue::from(*told)), ("all", FluentValue::from(*all))])
    }

    pub(crate) fn n(&self, key: &str, count: &usize) -> String {
        self.language.text(key, &[("count", FluentValue::from(*count))])
    }

    pub(crate) fn n64(&self, key: &str, count: &u64) -> String {
        self.language.text(key, &[("count", FluentValue::from(*count))])
    }

    /// The text of a word of an enumeration or state.
    pub(crate) fn word<W: ToString + ?Sized>(&self, prefix: &str, word: &W) -> String {
        let word = word.to_string();
        self.language.maybe(&format!("{prefix}-{}", word.replace('_', "-"))).unwrap_or(word)
    }

    /// The text of a code in the page's language, else the label it came with.
    pub(crate) fn code(&self, code: &CodeView) -> String {
        let of_network = || self.of_network(&code.list, &code.code).map(str::to_owned);
        self.maybe_code(code).or_else(of_network).unwrap_or_else(|| code.label.clone())
    }

    /// The label of a code that the network took up, in the page's language, where it has one.
    fn of_network(&self, list: &str, code: &str) -> Option<&str> {
        self.vocabulary.of_network(list, code)?.label(self.language.code)
    }

    fn maybe_code(&self, code: &CodeView) -> Option<String> {
        let word = || self.language.maybe(&format!("{}-{}", code.list, code.code).replace('_', "-"));
        // States are words of this program and not codes of a list.
        self.language.maybe(&code_key(&code.list, &code.code)).or_else(word)
    }

    /// The texts of words of an enumeration, with commas between.
    fn words(&self, prefix: &str, words: &str) -> String {
        words.split(", ").map(|word| self.word(prefix, word)).collect::<Vec<_>>().join(", ")
    }

    /// The text of a word under a prefix, if there is one.
    pub(crate) fn maybe(&self, prefix: &str, word: &str) -> Option<String> {
        self.language.maybe(&format!("{prefix}-{}", word.replace('_', "-")))
    }

    /// What a class of a figure is called.
    pub(crate) fn class(&self, class: &ClassView) -> String {
        match class {
            ClassView::All => self.t("class-all"),
            ClassView::Code(code) if code.code == SEVERAL => self.t("class-several"),
            ClassView::Code(code) if code.code == OTHERS => self.t("class-others"),
            // Words of ours are in the catalogues; codes have their own texts.
            ClassView::Code(code) if ["referral_state", "payment"].contains(&code.list.as_str()) => {
                self.word(&code.list.replace('_', "-"), &code.code)
            }
            ClassView::Code(code) => self.kind(code),
            ClassView::From { from, to: Some(to) } if to - 1 == *from => from.to_string(),
            ClassView::From { from, to: Some(to) } => format!("{from}–{}", to - 1),
            ClassView::From { from, to: None } => format!("≥ {from}"),
        }
    }

    /// What a figure is, in sentences.
    pub(crate) fn defined(&self, definition: &DefinitionView) -> Vec<String> {
        let column = |name: &str| self.column(name);
        let day = definition.days.first().map(|day| column(day)).unwrap_or_default();
        let when = self.t1(&format!("when-{}", definition.when.replace('_', "-")), "day", &day);
        let mut said = vec![format!("{}: {when}.", self.word("source", &definition.source))];
        let rules = |rules: &[Rule]| rules.iter().map(|rule| self.rule(rule)).collect::<Vec<_>>().join("; ");
        if !definition.of.is_empty() {
            said.push(format!("{} {}.", self.t("rules-of"), rules(&definition.of)));
        }
        if !definition.share.is_empty() {
            said.push(format!("{} {}.", self.t("rules-share"), rules(&definition.share)));
        }
        if definition.measure != "count" {
            let of = definition.column.as_deref().map(column).unwrap_or_default();
            said.push(self.t1(&format!("measure-{}", definition.measure), "column", &of));
        }
        if !definition.by.is_empty() {
            let by: Vec<String> = definition.by.iter().map(|by| column(&by.column)).collect();
            said.push(format!("{} {}.", self.t("rules-by"), by.join(", ")));
        }
        if definition.is_of_today {
            said.push(self.t("definition-today"));
        }
        said
    }

    /// Whether a figure can be looked at over time.
    pub(crate) fn has_past(&self, figure: &FigureView) -> bool {
        figure.definition.as_ref().is_none_or(|definition| definition.has_past)
    }

    /// What a column is called: a field of a form or a list of facts by its name, any other by its own text.
    fn column(&self, name: &str) -> String {
        match name.split_once(':') {
            Some((_, field)) => {
                self.maybe_field_name(field).or_else(|| self.maybe("list", field)).unwrap_or(field.to_owned())
            }
            None => self.word("column", name),
        }
    }

    fn rule(&self, rule: &Rule) -> String {
        let column = self.column(&rule.column);
        let said = |key: &str, words: &str| {
            let values = [("column", FluentValue::from(column.as_str())), ("words", FluentValue::from(words))];
            self.language.text(key, &values)
        };
        let name = rule.column.rsplit(':').next().unwrap_or_default();
        // Codes of a rule are those of its column's list; words of ours have texts under the column's name, or are a form.
        let word = |code: &String| {
            let listed = [name, "service_type"].into_iter().find_map(|list| self.language.maybe(&code_key(list, code)));
            let prefixes = ["referral-state", "referral-answer", "visit", "payment", "yes-no", "form"];
            let own = || prefixes.into_iter().find_map(|prefix| self.maybe(prefix, code));
            listed
                .or_else(|| self.language.maybe(&code_key("yes_no", code)))
                .or_else(own)
                .unwrap_or_else(|| code.clone())
        };
        let mut all = Vec::new();
        if !rule.is.is_empty() {
            all.push(said("rule-is", &rule.is.iter().map(word).collect::<Vec<_>>().join(", ")));
        }
        all.extend(rule.at_least.map(|least| said("rule-at-least", &least.to_string())));
        all.extend(rule.below.map(|below| said("rule-below", &below.to_string())));
        all.extend(rule.flag.map(|flag| said(if flag { "rule-yes" } else { "rule-no" }, "")));
        if rule.recorded {
            all.push(said("rule-recorded", ""));
        }
        all.join(", ")
    }

    /// What several classes together are called.
    pub(crate) fn classes(&self, classes: &[ClassView]) -> String {
        classes.iter().map(|class| self.class(class)).collect::<Vec<_>>().join(" · ")
    }

    /// A figure as bars that are made of parts, where it can be drawn so.
    pub(crate) fn stack(&self, figure: &FigureView) -> Option<Stack> {
        charts::stack(self, figure)
    }

    /// A figure of people by sex and age as a pyramid, where it is one.
    pub(crate) fn pyramid(&self, figure: &FigureView) -> Option<Pyramid> {
        charts::pyramid(self, figure)
    }

    /// The name of a picture in the page.
    pub(crate) fn chart_id(&self, prefix: &str, at: &usize) -> String {
        format!("{prefix}-{at}-c")
    }

    /// What a figure is called.
    pub(crate) fn figure_title<'a>(&self, figure: &'a FigureView) -> &'a str {
        self.titled(&figure.title, &figure.id)
    }

    /// A title in the page's language, or in English.
    pub(crate) fn titled<'a>(&self, title: &'a BTreeMap<String, String>, id: &'a str) -> &'a str {
        title.get(self.language.code).or_else(|| title.get("en")).map_or(id, String::as_str)
    }

    pub(crate) fn wire_code(&self, code: &Code) -> String {
        self.code(&CodeView::from(code))
    }

    /// The text of an entry's kind: a code, or the name of its form.
    pub(crate) fn kind(&self, code: &CodeView) -> String {
        if code.list == "form" { self.form_name(&code.code) } else { self.code(code) }
    }

    /// What a request asks, in one line.
    pub(crate) fn request(&self, request: &RequestView) -> String {
        match &request.asked {
            RequestedView::Account { name, roles, ends } => {
                let roles: Vec<String> = roles.iter().map(|role| self.word("role", role)).collect();
                let ends = ends.map(|ends| self.t1("request-until", "when", &self.when(&ends))).unwrap_or_default();
                format!("{}: {} {ends}", self.t1("request-account", "name", name), roles.join(", "))
            }
            RequestedView::Erase { name, reason, .. } => {
                format!(
                    "{}: {reason}",
                    self.t1("request-erase", "name", if name.is_empty() { "–" } else { name.as_str() })
                )
            }
            RequestedView::Admit { name, digits } => {
                format!("{} {digits}", self.t1("request-admit", "name", name))
            }
            RequestedView::EndMembership { name, reason, .. } => {
                format!("{} ({})", self.t1("request-end-membership", "name", name), self.word("end", reason))
            }
            RequestedView::End { name } => self.t1("request-end", "name", name),
            RequestedView::Team { name, team } => {
                format!(
                    "{}: {}",
                    self.t1("request-team", "name", name),
                    if team.is_empty() { "–" } else { team.as_str() }
                )
            }
            RequestedView::ResetFactor { name } => self.t1("request-reset-factor", "name", name),
            RequestedView::ResetPassword { name } => self.t1("request-reset-password", "name", name),
            RequestedView::LiftBar { name, staff, .. } => {
                format!("{} – {name}", self.t1("request-lift-bar", "name", staff))
            }
            RequestedView::Close { reason, level_of_help, .. } => {
                let help = level_of_help.as_ref().map(|help| format!(" · {}", self.code(help))).unwrap_or_default();
                format!("{}: {}{help}", self.t("case-close"), self.code(reason))
            }
            RequestedView::HandOver { name, need, .. } => {
                format!("{}: {need}", self.t1("request-hand-over", "name", name))
            }
            RequestedView::Entry { .. } => self.t("request-entry"),
        }
    }

    /// Where what a request is about can be seen.
    pub(crate) fn request_link(&self, request: &RequestView) -> Option<(String, String)> {
        match &request.asked {
            RequestedView::Erase { person, name, .. } => {
                Some(format!("/people/{person}/erase")).filter(|_| !name.is_empty()).map(|href| (href, name.clone()))
            }
            RequestedView::Account { .. }
            | RequestedView::End { .. }
            | RequestedView::Team { .. }
            | RequestedView::ResetFactor { .. }
            | RequestedView::ResetPassword { .. } => None,
            RequestedView::Admit { .. } | RequestedView::EndMembership { .. } => None,
            RequestedView::LiftBar { person, name, .. } => Some((format!("/people/{person}"), name.clone())),
            RequestedView::Close { case, number, .. } | RequestedView::HandOver { case, number, .. } => {
                Some((format!("/cases/{case}"), number.clone()))
            }
            RequestedView::Entry { case, number, entry } => {
                Some((format!("/cases/{case}#entry-{entry}"), number.clone()))
            }
        }
    }

    /// Whom a client rules out.
    pub(crate) fn never(&self, never: &Never) -> String {
        match never {
            Never::Office(office) => {
                let id: String = office.to_string().chars().take(8).collect();
                format!("{} {id}", self.t("never-offices"))
            }
            Never::Kind(kind) => self.word("kind", kind),
            Never::Named(name) => name.to_string(),
        }
    }

    /// Who waits for whom in a referral.
    pub(crate) fn wait(&self, wait: &WaitView) -> String {
        self.word(if wait.ours { "wait-ours" } else { "wait-theirs" }, &wait.what)
    }

    /// Whether a page belongs to a case.
    pub(crate) fn is_case(&self, base: &str) -> bool {
        base.starts_with("/cases/")
    }

    /// Whether entries of a form are approved by a supervisor.
    pub(crate) fn can_be_approved(&self, form: &str) -> bool {
        self.vocabulary.form(form).is_some_and(|form| form.approved)
    }

    /// What a task says.
    pub(crate) fn title(&self, title: &TaskTitle) -> String {
        match title {
            TaskTitle::Words(words) => words.clone(),
            TaskTitle::Form(key) => self.word("form-task", key),
        }
    }

    /// The text of a field: its value, or what is known of it.
    pub(crate) fn field(&self, field: &Field) -> String {
        let value = match (&field.list, &field.code, &field.value) {
            (Some(list), Some(code), Some(label)) => {
                let coded = CodeView { list: list.clone(), code: code.clone(), label: label.clone() };
                Some(self.maybe_code(&coded).unwrap_or_else(|| self.words(list, label)))
            }
            (_, _, value) => value.clone(),
        };
        match (value, field.state.as_str()) {
            (Some(value), "unsure") => format!("{value} ({})", self.t("state-unsure")),
            (Some(value), _) => value,
            (None, state) => self.word("state", state),
        }
    }

    /// The codes of a list with their texts.
    pub(crate) fn options(&self, list: &str) -> Vec<(String, String)> {
        let offered = self.vocabulary.terms(list).filter(|term| term.offered);
        offered.map(|term| (term.code.clone(), self.term(list, &term))).collect()
    }

    /// The codes of a list with their texts, and the one that a form has already, also when it is not offered any more: what
    /// was written down does not go because somebody saves the form.
    pub(crate) fn options_with(&self, list: &str, current: &str) -> Vec<(String, String)> {
        let shown = self.vocabulary.terms(list).filter(|term| term.offered || term.code == current);
        shown.map(|term| (term.code.clone(), self.term(list, &term))).collect()
    }

    /// The label of a code in the page's language, where it has one.
    pub(crate) fn term(&self, list: &str, term: &Term) -> String {
        let translated = if term.own { None } else { self.language.maybe(&code_key(list, &term.code)) };
        let of_network = || self.of_network(list, &term.code).map(str::to_owned);
        translated.or_else(of_network).unwrap_or_else(|| term.label.clone())
    }

    /// What a code means; empty where nobody wrote it down.
    pub(crate) fn explanation(&self, list: &str, term: &Term) -> String {
        if term.own {
            return term.explanation.clone();
        }
        self.language.maybe(&code_key(list, &term.code).replacen("code-", "explain-", 1)).unwrap_or_default()
    }

    /// What a list is called.
    pub(crate) fn list_name(&self, list: &str) -> String {
        let own = self.vocabulary.own(list).map(|own| own.title.clone()).filter(|title| !title.is_empty());
        own.unwrap_or_else(|| self.word("list", list))
    }

    /// What a form is called.
    pub(crate) fn form_name(&self, form: &str) -> String {
        let own = self.vocabulary.form(form).and_then(|form| form.title.clone());
        own.unwrap_or_else(|| self.word("form", form))
    }

    /// What a form is for.
    pub(crate) fn maybe_explain_form(&self, form: &str) -> Option<String> {
        self.language.maybe(&format!("explain-form-{}", form.replace('_', "-")))
    }

    /// What a field of a form asks.
    pub(crate) fn form_field_name(&self, form: Option<&str>, field: &str) -> String {
        let own = form.and_then(|form| self.vocabulary.form(form)?.field(field)?.label.clone());
        own.unwrap_or_else(|| self.word("form-field", field))
    }

    /// The name of a field, where it has a text: the page's own, before those that many pages share.
    fn maybe_field_name(&self, field: &str) -> Option<String> {
        let field = field.replace('_', "-");
        let shared = [
            "form-field-",
            "field-",
            "",
            "action-",
            "money-",
            "history-field-",
            "consent-",
            "book-in-",
            "refer-",
            "override-",
        ];
        let prefixes = own_prefixes(&self.here).iter().chain(&shared);
        prefixes.into_iter().find_map(|prefix| self.language.maybe(&format!("{prefix}{field}")))
    }

    pub(crate) fn field_name(&self, field: &str) -> String {
        self.maybe_field_name(field).unwrap_or_else(|| field.to_owned())
    }

    /// What is wrong with a field, with the field's name before it where that has a text.
    pub(crate) fn named_problem(&self, problem: &FieldProblem) -> String {
        // A field of one person of several is named with that person's number.
        let (number, field) = problem
            .field
            .split_once(':')
            .map_or((None, problem.field.as_str()), |(number, field)| (Some(number), field));
        let one = if self.here.starts_with("/forms") { "form-row" } else { "family-person" };
        let person = number.map(|number| format!("{} – ", self.t1(one, "number", number)));
        let of = |part: &str| self.language.maybe(&format!("{part}-{}", field.replace('_', "-")));
        let name = self.maybe_field_name(field).or_else(|| of("family")).or_else(|| of("own"));
        match name.map(|name| format!("{}{name}", person.unwrap_or_default())) {
            Some(name) => format!("{name}: {}", self.problem(problem)),
            None => self.problem(problem),
        }
    }

    /// What is wrong with a field, as a sentence.
    pub(crate) fn problem(&self, problem: &FieldProblem) -> String {
        self.language
            .text(&format!("problem-{}", problem.problem), &[("detail", FluentValue::from(problem.detail.clone()))])
    }

    /// What was done of what was promised.
    pub(crate) fn of(&self, done: &usize, promised: &u32) -> String {
        self.language.text(
            "done-of",
            &[("done", FluentValue::from(*done)), ("promised", FluentValue::from(f64::from(*promised)))],
        )
    }

    /// How long a file is, in the largest unit that it fills.
    pub(crate) fn size(&self, bytes: &u64) -> String {
        match bytes {
            0..=1023 => format!("{bytes} B"),
            1024..=1_048_575 => format!("{} kB", bytes / 1024),
            _ => format!("{:.1} MB", (*bytes as f64) / 1_048_576.0),
        }
    }

    /// Day and minute in the office.
    pub(crate) fn when(&self, at: &Timestamp) -> String {
        self.zone.shown(*at)
    }

    /// The beginning of a hash, as two people compare it on the telephone.
    pub(crate) fn compared(&self, hash: &str) -> String {
        let groups: Vec<&str> = (0..4).filter_map(|group| hash.get(group * 4..group * 4 + 4)).collect();
        groups.join(" ")
    }

    /// The day in the office.
    pub(crate) fn day_of(&self, at: &Timestamp) -> Day {
        self.zone.day(*at)
    }

    /// The hour and minute in the office.
    pub(crate) fn hour(&self, at: &Timestamp) -> String {
        self.when(at).chars().skip(11).collect()
    }

    pub(crate) fn maybe_when(&self, at: &Option<Timestamp>) -> String {
        at.as_ref().map_or_else(|| "–".to_owned(), |at| self.when(at))
    }

    pub(crate) fn asset(&self, name: &str) -> String {
        format!("/a/{}/{name}", *crate::assets::VERSION)
    }

    pub(crate) fn languages(&self) -> &'static [Language] {
        LANGUAGES
    }

    /// Whether the page's language has a part of the words alone.
    pub(crate) fn is_partial(&self) -> bool {
        PARTIAL.iter().any(|language| language.code == self.language.code)
    }

    /// Languages that have the words of the first pages.
    pub(crate) fn partial_languages(&self) -> &'static [Language] {
        PARTIAL
    }

    pub(crate) fn is_here(&self, href: &str) -> bool {
        self.here == href || (href != "/" && self.here.starts_with(&format!("{href}/")))
    }
}

/// What the texts of a page's own fields begin with, where a name (`from`, `count`) is of another field on other pages.
fn own_prefixes(here: &str) -> &'static [&'static str] {
    match here.split('/').nth(1).unwrap_or_default() {
        "samples" => &["sample-", "period-"],
        "reports" => &["report-", "period-"],
        "grants" => &["grant-"],
        "proposals" => &["proposal-"],
        "figures" | "review" | "tables" | "collector" => &["period-"],
        _ => &[],
    }
}

/// Which help belongs to a path.
pub(crate) fn help_of(path: &str) -> Option<&'static str> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    Some(match parts.as_slice() {
        [] => "home",
        ["people" | "cases" | "tasks" | "register" | "staff", _, "history"] | ["settings", "history"] => "history",
        ["register", ..] => "register",
        ["find"] => "find",
        ["people"] | ["people", "new"] | ["people", _, "change"] => "person-form",
        ["people", _, "cases", ..] | ["cases", _, "edit"] => "case-form",
        ["people", _, "consents", ..] => "consent",
        ["people" | "cases" | "office", .., "entries", _]
        | ["forms", _, "print"]
        | ["blank", _]
        | ["cases", _, "actions"] => "entry",
        ["lists", ..] | ["forms", ..] => "lists",
        ["people", _, "view"] => "hers",
        ["people", _, "erase"] => "erase",
        ["people", _, "others" | "links"] => "others",
        ["people", _, "compare", _] | ["duplicates"] => "duplicates",
        ["people", ..] => "person",
        ["families", ..] => "family",
        ["cases"] => "cases",
        ["cases", _, "refer"] => "refer",
        ["review"] => "review",
        ["tables", ..] => "tables",
        ["links"] => "links",
        ["places"] => "places",
        ["cases", ..] => "case",
        ["network", ..] => "network",
        ["referrals"] | ["referrals", "book-in" | "by-code"] => "referrals",
        ["referrals", ..] => "referral",
        ["tasks", ..] => "tasks",
        ["office", ..] => "office",
        ["figures", ..] => "figures",
        ["reports", ..] => "reports",
        ["areas"] => "areas",
        ["proposals", ..] => "proposals",
        ["samples", ..] => "samples",
        ["quality"] => "quality",
        ["grants"] => "grants",
        ["account", ..] => "account",
        ["emergency", ..] => "emergency",
        ["requests", ..] => "requests",
        ["staff", ..] | ["settings"] => "staff",
        ["log"] => "log",
        ["collector", ..] => "collector",
        ["sign-in"] | ["pin"] => "sign-in",
        ["drafts", ..] => "draft",
        _ => return None,
    })
}

/// Turns a template into a page.
pub(crate) fn html(template: &impl askama::Template) -> Response {
    html_with(StatusCode::OK, template)
}

pub(crate) fn html_with(status: StatusCode, template: &impl askama::Template) -> Response {
    match template.render() {
        Ok(text) => (status, Html(text)).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be made");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Whether an address is a path of this site.
pub(crate) fn is_own_path(then: &str) -> bool {
    then.starts_with('/')
        && !then.starts_with("//")
        && !then.chars().any(|letter| letter == '\\' || letter.is_control())
}

/// After a change: the page that shows it.
pub(crate) fn go(to: &str) -> Response {
    Redirect::to(to).into_response()
}

/// A person who is signed in, at their desk.
#[derive(Debug, Clone)]
pub(crate) struct Signed {
    pub(crate) desk: Desk,
    pub(crate) page: Page,
}

fn cookie_of(headers: &HeaderMap, wanted: &str) -> Option<String> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies.flat_map(|line| line.split(';')).find_map(|cookie| {
        let (name, value) = cookie.trim().split_once('=')?;
        (name == wanted).then(|| value.to_owned())
    })
}

/// The session token of a request's cookie.
pub(crate) fn token_of(app: &App, headers: &HeaderMap) -> Option<String> {
    cookie_of(headers, &app.cookie)
}

/// The random name of the browser.
pub(crate) fn browser_of(app: &App, headers: &HeaderMap) -> Option<String> {
    cookie_of(headers, &app.browser_cookie)
}

/// Sets a cookie that no script and no other site can read.
pub(crate) fn set_cookie(response: &mut Response, name: &str, value: &str, more: &str) {
    let cookie = format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax{more}");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
}

/// The language of somebody who is not signed in: chosen before, else the browser's.
pub(crate) fn outside_language(headers: &HeaderMap) -> Language {
    match cookie_of(headers, "language") {
        Some(code) => i18n::language(&code),
        None => {
            let wish = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
            i18n::accepted(wish)
        }
    }
}

impl Signed {
    fn new(app: &App, headers: &HeaderMap, path: &str) -> Option<Self> {
        let token = token_of(app, headers)?;
        let desk = app.node.page_desk(&token)?;
        let language = desk.language().map_or_else(|| outside_language(headers), i18n::language);
        let mut links = vec![Link { href: "/", key: "nav-home" }];
        let mut add = |allowed: bool, href, key| {
            if allowed {
                links.push(Link { href, key });
            }
        };
        add(desk.may(Ask::Register), "/register", "nav-register");
        add(desk.may(Ask::People), "/find", "nav-find");
        add(desk.may(Ask::People), "/cases", "nav-cases");
        add(desk.may(Ask::Register), "/tasks", "nav-tasks");
        add(desk.answers_referrals(), "/referrals", "nav-referrals");
        add(desk.may(Ask::SeeFigures), "/figures", "nav-figures");
        add(desk.may(Ask::Register), "/office", "nav-office");
        add(desk.is_collector() && desk.may(Ask::SeeCollected), "/collector", "nav-collector");
        add(desk.may(Ask::ReadLog), "/log", "nav-log");
        add(desk.may(Ask::Administer), "/staff", "nav-staff");
        let page = Page {
            language,
            office: desk.office_name(),
            practice: app.node.config().practice,
            staff: Some(desk.name().to_owned()),
            links,
            here: path.to_owned(),
            notice: None,
            vocabulary: desk.vocabulary(),
            focus: "",
            zone: desk.zone(),
            has_pin: desk.has_pin(),
        };
        Some(Self { desk, page })
    }

    /// The answer to what the desk refused, where there is no form to show it in.
    pub(crate) fn refused(&self, error: &DeskError) -> Response {
        let status = match error {
            DeskError::Denied(_) => StatusCode::FORBIDDEN,
            DeskError::NotFound => StatusCode::NOT_FOUND,
            DeskError::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            DeskError::Vault(VaultError::Conflict) => StatusCode::CONFLICT,
            DeskError::Vault(_) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::CONFLICT,
        };
        let problems = match error {
            DeskError::Invalid(problems) => problems.iter().map(|problem| self.page.problem(problem)).collect(),
            _ => Vec::new(),
        };
        crate::pages::error_page(self.page.clone(), status, error.key(), problems)
    }
}

/// Where somebody chooses a password of their own.
const OWN_PASSWORD: &str = "/account#password-title";

/// Where somebody may go before they chose a password of their own.
const BEFORE_OWN_PASSWORD: &[&str] =
    &["/account", "/account/password", "/sign-out", "/language", "/lock", "/switch", "/account/sessions/end-others"];

impl Signed {
    /// Whether a password of one's own must come first.
    fn owes_password(&self, path: &str) -> bool {
        !BEFORE_OWN_PASSWORD.contains(&path) && self.desk.must_change_password()
    }
}

impl FromRequestParts<App> for Signed {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        let path = parts.uri.path();
        match Self::new(app, &parts.headers, path) {
            Some(signed) if signed.owes_password(path) => Err(go(OWN_PASSWORD)),
            Some(signed) => Ok(signed),
            None => {
                let then: String = form_urlencoded::byte_serialize(path.as_bytes()).collect();
                Err(go(&format!("/sign-in?then={then}")))
            }
        }
    }
}

/// A form that somebody sent from their desk. Without a session it is kept through the sign-in.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) signed: Signed,
    pub(crate) form: Form,
}

impl axum::extract::FromRequest<App> for Sent {
    type Rejection = Response;

    async fn from_request(request: Request, app: &App) -> Result<Self, Response> {
        let headers = request.headers().clone();
        let path = request.uri().path().to_owned();
        let body = axum::body::Bytes::from_request(request, app).await.map_err(IntoResponse::into_response)?;
        let form = Form::read(&body);
        match Signed::new(app, &headers, &path) {
            Some(signed) if signed.owes_password(&path) => Err(go(OWN_PASSWORD)),
            Some(signed) => Ok(Self { signed, form }),
            None => Err(crate::pages::sign_in_keeping(app, &headers, &path, &form)),
        }
    }
}
