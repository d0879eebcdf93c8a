//! Finished tables: what an office that keeps its cases in another system hands in as a spreadsheet. Its numbers are of the same
//! figures and classes, go through the same withholding, and are marked as not computed here.

use super::FieldProblem;
use super::columns::{ANSWERS, as_all_call_it};
use crate::records::{CaseState, IdentityLevel, PaymentKind};
use crate::vocabulary::Vocabulary;
use casemesh_protocol::indicators::{By, Cell, Class, FACT, Indicator, Measure, Outcome, SEVERAL, Source};
use casemesh_protocol::statistics::{Agreement, Figure, withheld, word_code};
use casemesh_protocol::terms::{Code, Currency, Money};
use std::collections::BTreeMap;

/// The largest file of a finished table, in bytes.
pub const FINISHED_BYTES_MAX: usize = 1024 * 1024;
/// So many things that are wrong are said at once.
const PROBLEMS_MAX: usize = 10;
/// The columns of the file. The title is for people: it is not read.
const HEAD: [&str; 6] = ["figure", "title", "class", "second_class", "value", "of"];
/// What stands as a class where a number is of no class: how many things the figure covers, lack something, and may not be counted.
const COUNTS: [&str; 3] = ["covered", "missing", "excluded"];

/// The file to fill in: a line for each figure and each of its classes that is known, and for what is missing and excluded.
pub(super) fn blank(agreement: &Agreement, words: &Vocabulary, language: &str) -> (Vec<String>, Vec<Vec<String>>) {
    let line = |one: &Indicator, class: &str, second: &str| -> Vec<String> {
        let title = one.title_in(language);
        [one.id.as_str(), title, class, second, "", ""].into_iter().map(str::to_owned).collect()
    };
    let of = |one: &Indicator| -> Vec<Vec<String>> {
        let classes = |at: usize| one.by.get(at).map_or_else(|| vec![String::new()], |by| known(one, by, words));
        let (first, second) = (classes(0), classes(1));
        let cells = first.iter().flat_map(|class| second.iter().map(move |second| (class, second)));
        let cells = cells.map(|(class, second)| line(one, class, second));
        let needed = COUNTS.iter().filter(|count| **count != COUNTS[0] || !is_counted(one));
        cells.chain(needed.map(|count| line(one, count, ""))).collect()
    };
    (
        HEAD.map(str::to_owned).to_vec(),
        agreement.indicators.iter().filter(|one| is_for_others(one)).flat_map(of).collect(),
    )
}

/// Whether another system can count a figure: its classes are such as it can have, and whether one payment is nearly all of a sum need not be
/// known.
fn is_for_others(indicator: &Indicator) -> bool {
    let has_classes = indicator.by.iter().all(|by| classes_of(indicator, by).is_some());
    has_classes && (!indicator.is_protected() || indicator.measure == Measure::Count)
}

/// Whether what a figure covers follows from its cells.
fn is_counted(indicator: &Indicator) -> bool {
    indicator.is_share() || indicator.measure == Measure::Count
}

/// What the classes of a column are, as this program tells them of its own records.
enum Classes<'a> {
    /// Groups of numbers.
    Numbers,
    /// Codes of a list.
    List(&'a str),
    /// Words of this program, and the list that they are of.
    Words(&'static str, Vec<&'static str>),
    /// Currencies.
    Currency,
}

impl Classes<'_> {
    fn words<W: Copy>(list: &'static str, all: &[W], word: impl Fn(W) -> &'static str) -> Self {
        Self::Words(list, all.iter().copied().map(word).collect())
    }
}

/// The classes of a column; none where only this program's own records have them (who was asked, why not, what somebody answered).
fn classes_of<'a>(indicator: &Indicator, by: &'a By) -> Option<Classes<'a>> {
    if !by.from.is_empty() {
        return Some(Classes::Numbers);
    }
    if indicator.currency_column().as_ref() == Some(&by.column) {
        return Some(Classes::Currency);
    }
    if let Some(list) = by.column.strip_prefix(FACT) {
        return Some(Classes::List(list));
    }
    Some(match (indicator.source.0, by.column.as_str()) {
        (Source::Cases | Source::Entries | Source::Payments, "case_type") => Classes::List("case_type"),
        (Source::Cases, "state") => Classes::words("case_state", CaseState::ALL, CaseState::as_str),
        (Source::Referrals, "service") => Classes::List("service_type"),
        (Source::Referrals, "answer") => Classes::Words("referral_answer", ANSWERS.to_vec()),
        (Source::Payments, "kind") => Classes::words("payment", PaymentKind::ALL, PaymentKind::as_str),
        (Source::Entries, "kind") => Classes::List("action_kind"),
        (Source::People | Source::Cases | Source::Entries, column) => {
            match column.strip_prefix("client_").unwrap_or(column) {
                "identity" => Classes::words("identity", IdentityLevel::ALL, IdentityLevel::as_str),
                "sex" => Classes::List("sex"),
                "age_band" => Classes::List("age_band"),
                "nationality" => Classes::List("nationality"),
                _ => return None,
            }
        }
        _ => return None,
    })
}

/// The classes of a column that are known, as they are written; one empty one where nobody knows them before.
fn known(indicator: &Indicator, by: &By, words: &Vocabulary) -> Vec<String> {
    // Codes of an office's own are counted as the network's.
    let shared = |list| words.terms(list).filter(|term| term.offered && !term.own).map(|term| term.code);
    let all: Vec<String> = match classes_of(indicator, by) {
        Some(Classes::Numbers) => by.groups().map(number_class).collect(),
        Some(Classes::List(list)) => shared(list).collect(),
        Some(Classes::Words(_, words)) => words.into_iter().map(str::to_owned).collect(),
        Some(Classes::Currency) | None => Vec::new(),
    };
    if all.is_empty() { vec![String::new()] } else { all }
}

fn number_class((from, next): (i64, Option<i64>)) -> String {
    next.map_or_else(|| format!("{from}+"), |next| format!("{from}-{}", next - 1))
}

/// A class as it was typed: a code or its label, or a group of numbers.
fn class_of(indicator: &Indicator, by: &By, words: &Vocabulary, typed: &str) -> Option<Class> {
    let code = match classes_of(indicator, by)? {
        Classes::Numbers => {
            let (from, next) = by.groups().find(|group| number_class(*group) == typed)?;
            return Some(Class::From(from, next));
        }
        Classes::Currency => word_code("currency", &typed.parse::<Currency>().ok()?.to_string()),
        Classes::Words(list, known) => word_code(list, typed).filter(|_| known.contains(&typed)),
        Classes::List(list) => of_list(words, list, typed),
    };
    code.map(Class::Code)
}

/// A code of a list that all offices have, by itself or its label; or that there are several.
fn of_list(words: &Vocabulary, list: &str, typed: &str) -> Option<Code> {
    if typed == SEVERAL {
        return word_code(list, SEVERAL);
    }
    let code = words.code_or_label(list, typed)?;
    let code = as_all_call_it(words, &code).unwrap_or(code);
    words.shared(list, code.code.as_str())
}

/// The numbers of one figure, as they were typed.
#[derive(Default)]
struct Typed {
    cells: BTreeMap<Vec<Class>, Cell>,
    counts: BTreeMap<&'static str, u64>,
}

/// Reads a finished table: figures as they may leave, in the order of the agreement. A figure that the file says nothing of is left out.
///
/// # Errors
/// What is wrong, line by line.
pub(super) fn read(agreement: &Agreement, words: &Vocabulary, bytes: &[u8]) -> Result<Vec<Figure>, Vec<FieldProblem>> {
    let wrong = |key: &str, detail: String| FieldProblem::with("table", key, detail);
    // Where a comma stands in numbers, spreadsheets put something else between cells.
    let first: &[u8] = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let many = |mark: u8| first.iter().filter(|byte| **byte == mark).count();
    let between = [b',', b';', b'\t'].into_iter().max_by_key(|mark| (many(*mark), *mark == b',')).unwrap_or(b',');
    let mut reader =
        csv::ReaderBuilder::new().delimiter(between).flexible(true).trim(csv::Trim::All).from_reader(bytes);
    let head: Vec<String> = match reader.headers() {
        Ok(head) => head.iter().map(|name| name.trim_start_matches('\u{feff}').to_lowercase()).collect(),
        Err(error) => return Err(vec![wrong("finished-unread", error.to_string())]),
    };
    let place = |name: &str| head.iter().position(|known| known == name);
    let lacking = [HEAD[0], HEAD[2], HEAD[4]].into_iter().find(|name| place(name).is_none());
    if let Some(name) = lacking {
        return Err(vec![wrong("finished-head", name.to_owned())]);
    }
    let places = HEAD.map(place);
    let mut problems: Vec<FieldProblem> = Vec::new();
    let mut typed: BTreeMap<usize, Typed> = BTreeMap::new();
    for (line, row) in (2..).zip(reader.records()) {
        let row = match row {
            Ok(row) => row,
            Err(error) => {
                problems.push(wrong("finished-unread", error.to_string()));
                break;
            }
        };
        let cell = |at: usize| places.get(at).copied().flatten().and_then(|at| row.get(at)).unwrap_or_default();
        let [figure, _, class, second, value, of] = [0, 1, 2, 3, 4, 5].map(cell);
        // A line without a number says nothing: the file lists every class.
        if value.is_empty() {
            continue;
        }
        let said = |key: &str, what: &str| wrong(key, format!("{line} ({what})"));
        let Some(at) = agreement.indicators.iter().position(|one| one.id == figure) else {
            problems.push(said("finished-figure", figure));
            continue;
        };
        let Some(indicator) = agreement.indicators.get(at) else { continue };
        let numbers = typed.entry(at).or_default();
        if let Err((key, what)) = numbers.take(indicator, words, [class, second, value, of]) {
            problems.push(said(key, &what));
        }
    }
    // One that is left out of two tables would tell of whoever came between them.
    let is_lacking =
        |(at, one): &(usize, &Indicator)| one.is_protected() && is_for_others(one) && !typed.contains_key(at);
    let lacking = agreement.indicators.iter().enumerate().find(is_lacking);
    if let Some((_, one)) = lacking.filter(|_| !typed.is_empty()) {
        problems.push(wrong("finished-lacks", one.id.clone()));
    }
    let mut figures = Vec::new();
    for (at, numbers) in typed {
        let Some(indicator) = agreement.indicators.get(at) else { continue };
        match numbers.outcome(indicator) {
            Ok(outcome) => figures.push(withheld(indicator, &outcome, agreement.terms.threshold)),
            Err(key) => problems.push(wrong(key, indicator.id.clone())),
        }
    }
    if figures.is_empty() && problems.is_empty() {
        problems.push(wrong("finished-empty", String::new()));
    }
    problems.truncate(PROBLEMS_MAX);
    if problems.is_empty() { Ok(figures) } else { Err(problems) }
}

impl Typed {
    /// Takes up one line: class, second class, value, and of how many.
    fn take(
        &mut self,
        indicator: &Indicator,
        words: &Vocabulary,
        [class, second, value, of]: [&str; 4],
    ) -> Result<(), (&'static str, String)> {
        if !is_for_others(indicator) {
            return Err(("finished-here", indicator.id.clone()));
        }
        let number = |text: &str| crate::names::ascii_digits(text).parse::<u64>().ok();
        if let Some(count) = COUNTS.into_iter().find(|count| *count == class) {
            let value = number(value).ok_or(("finished-number", value.to_owned()))?;
            return match self.counts.insert(count, value) {
                None => Ok(()),
                Some(_) => Err(("finished-twice", class.to_owned())),
            };
        }
        let typed = [class, second];
        let mut classes = Vec::new();
        for (by, typed) in indicator.by.iter().zip(typed) {
            let class = class_of(indicator, by, words, typed);
            classes.push(class.ok_or_else(|| ("finished-class", format!("{typed:?}")))?);
        }
        if let Some(more) = typed.iter().skip(indicator.by.len()).find(|text| !text.is_empty()) {
            return Err(("finished-class", format!("{more:?}")));
        }
        let amount = match currency_of(indicator, &classes) {
            Some(currency) => Money::parse(&crate::names::ascii_digits(value), currency).ok().map(|money| money.minor),
            None => number(value).and_then(|value| i64::try_from(value).ok()),
        };
        let value = amount.ok_or(("finished-number", value.to_owned()))?;
        let whole = match indicator.is_share() {
            true => number(of).filter(|of| i64::try_from(*of).is_ok_and(|of| value <= of)),
            false => u64::try_from(value).ok(),
        };
        let of = whole.ok_or(("finished-of", of.to_owned()))?;
        let largest = i64::from(indicator.measure == Measure::Count);
        match self.cells.insert(classes.clone(), Cell { classes, value, of, largest }) {
            None => Ok(()),
            Some(_) => Err(("finished-twice", class.to_owned())),
        }
    }

    /// The figure that the lines are of.
    fn outcome(self, indicator: &Indicator) -> Result<Outcome, &'static str> {
        let count = |name| self.counts.get(name).copied();
        let missing = count(COUNTS[1]).unwrap_or_default();
        let cells = self.cells.values().map(|cell| cell.of).fold(0, u64::saturating_add);
        let covered = match is_counted(indicator) {
            true => cells.saturating_add(missing),
            false => count(COUNTS[0]).ok_or("finished-covered")?,
        };
        let excluded = count(COUNTS[2]).unwrap_or_default();
        Ok(Outcome { cells: self.cells.into_values().collect(), covered, missing, excluded })
    }
}

/// The currency that an amount is of, by its classes.
fn currency_of(indicator: &Indicator, classes: &[Class]) -> Option<Currency> {
    let currency = indicator.currency_column()?;
    let at = indicator.by.iter().position(|by| by.column == currency)?;
    match classes.get(at) {
        Some(Class::Code(Code { code, .. })) => code.as_str().parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicators;

    const ASKED: &str = r#"
id = "asked"
version = 1
[terms]
every = "quarter"
[[indicator]]
id = "opened"
title = { en = "Cases opened" }
source = "cases"
when = { in = "opened" }
by = [{ column = "case_type" }]
[[indicator]]
id = "money"
title = { en = "Money recovered" }
source = "payments"
when = { in = "paid" }
measure = { sum = "amount" }
by = [{ column = "currency" }]
[[indicator]]
id = "reasons"
title = { en = "Why referrals were declined" }
source = "referrals"
when = { in = "sent" }
by = [{ column = "urgency" }]
[[indicator]]
id = "people"
title = { en = "New people" }
source = "people"
when = { in = "first_case" }
by = [{ column = "sex" }]
[[indicator]]
id = "long"
title = { en = "How long cases were open" }
source = "cases"
when = { in = "closed" }
by = [{ column = "days_open", from = [0, 30, 90] }]
"#;

    fn parsed(text: &str) -> Result<Vec<Figure>, Vec<FieldProblem>> {
        let agreement = indicators::read_agreement(ASKED).unwrap();
        read(&agreement, &Vocabulary::of_pack("advice"), text.as_bytes())
    }

    #[test]
    fn a_finished_table_becomes_figures_that_may_leave() {
        let text = "\u{feff}figure,title,class,second_class,value,of\n\
            opened,,unpaid_wages,,40,\nopened,,Housing and eviction,,٢,\nopened,,missing,,3,\nopened,,excluded,,1,\n\
            money,,ZAR,,12500.50,\nmoney,,covered,,7,\n\
            people,,female,,30,\npeople,,male,,2,\npeople,,x,,,\n\
            long,,0-29,,12,\nlong,,90+,,4,\n";
        let figures = parsed(text).unwrap();
        let values = |at: usize| figures[at].cells.iter().map(|cell| cell.value).collect::<Vec<_>>();
        assert_eq!(figures.len(), 4);
        assert_eq!((figures[0].covered, figures[0].missing, figures[0].excluded), (Some(45), Some(3), Some(1)));
        assert_eq!(values(0).iter().flatten().sum::<i64>(), 42, "cases tell nobody apart: nothing is withheld");
        assert_eq!((values(1), figures[1].covered), (vec![Some(1_250_050)], Some(7)));
        assert_eq!(values(2), [None, None, Some(32)], "two men are withheld, and the women with them");
        assert_eq!(values(3), [Some(12), Some(4)]);
        // As a spreadsheet writes it where numbers have a comma.
        let text = "figure;class;value\nmoney;ZAR;12500,50\nmoney;covered;7\npeople;female;30\npeople;several;12\n";
        let figures = parsed(text).unwrap();
        assert_eq!(figures[0].cells.iter().map(|cell| cell.value).collect::<Vec<_>>(), [Some(1_250_050)]);
        assert_eq!((figures.len(), figures[1].covered), (2, Some(42)));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let keys = |text: &str| -> Vec<(String, String)> {
            parsed(text).unwrap_err().into_iter().map(|one| (one.problem, one.detail)).collect()
        };
        let one = |text: &str| keys(text).into_iter().find(|(key, _)| key != "finished-lacks").unwrap();
        let owned = |key: &str, detail: &str| (key.to_owned(), detail.to_owned());
        assert_eq!(one("figure,value\n"), owned("finished-head", "class"));
        let head = "figure,class,value";
        assert_eq!(one(&format!("{head}\nfoo,,3\n")), owned("finished-figure", "2 (foo)"));
        assert_eq!(one(&format!("{head}\nopened,nonsense,3\n")), owned("finished-class", "2 (\"nonsense\")"));
        assert_eq!(one(&format!("{head}\nopened,unpaid_wages,-3\n")), owned("finished-number", "2 (-3)"));
        assert_eq!(one(&format!("{head}\nlong,0-30,3\n")).0, "finished-class");
        assert_eq!(one(&format!("{head}\nmoney,ZAR,5.00\n")), owned("finished-covered", "money"));
        assert_eq!(
            one(&format!("{head}\nopened,unpaid_wages,1\nopened,unpaid_wages,2\n")),
            owned("finished-twice", "3 (unpaid_wages)")
        );
        assert_eq!(one(&format!("{head}\nopened,unpaid_wages,\n")).0, "finished-empty");
        assert_eq!(keys(&format!("{head}\n{}", "foo,,3\n".repeat(50))).len(), PROBLEMS_MAX);
        // People are told in every table or in none.
        assert_eq!(keys(&format!("{head}\nopened,land,3\n")), [owned("finished-lacks", "people")]);
        // What somebody typed is no class, and neither is a currency that is none.
        assert_eq!(one(&format!("{head}\nreasons,missing,3\n")).0, "finished-here", "whatever is said of it");
        assert_eq!(one(&format!("{head}\nreasons,Thandi did not come,3\n")), owned("finished-here", "2 (reasons)"));
        assert_eq!(one(&format!("{head}\nmoney,rand,3\n")).0, "finished-class");
        assert_eq!(one(&format!("{head}\npeople,somebody,30\n")).0, "finished-class");
    }

    #[test]
    fn the_file_to_fill_in_is_read_back_as_it_is_filled_in() {
        let agreement = indicators::read_agreement(ASKED).unwrap();
        let words = Vocabulary::of_pack("advice");
        let (head, rows) = blank(&agreement, &words, "en");
        assert!(rows.iter().any(|row| row[0] == "long" && row[2] == "30-89"));
        assert!(rows.iter().any(|row| row[0] == "people" && row[2] == "female"));
        // Every class that it names is one: currencies alone are the office's to write.
        let filled = rows.into_iter().filter(|row| row[0] != "money").map(|mut row| {
            row[4] = "20".into();
            row
        });
        let bytes = crate::table::csv(&head, &filled.collect::<Vec<_>>()).unwrap();
        let figures = read(&agreement, &words, &bytes).unwrap();
        assert_eq!(figures.len(), 3);
        assert!(figures.iter().all(|figure| figure.withheld == 0 && figure.missing == Some(20)));
    }
}
