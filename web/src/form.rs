//! Forms as people send them: names and texts, in order. Nothing is refused here; what is wrong is said beside
//! its field, with what was typed still in it.

use axum::http::StatusCode;
use casemesh_node::office::{FieldInput, FieldProblem};

/// A form as it was sent, or as it is shown.
#[derive(Debug, Clone, Default)]
pub(crate) struct Form {
    pairs: Vec<(String, String)>,
    problems: Vec<FieldProblem>,
}

impl Form {
    pub(crate) fn read(body: &[u8]) -> Self {
        let pairs = form_urlencoded::parse(body).map(|(name, value)| (name.into_owned(), value.into_owned()));
        Self { pairs: pairs.collect(), problems: Vec::new() }
    }

    pub(crate) fn of(pairs: &[(&str, &str)]) -> Self {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { pairs, problems: Vec::new() }
    }

    pub(crate) fn with_problems(mut self, problems: Vec<FieldProblem>) -> Self {
        self.problems = problems;
        self
    }

    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.pairs.push((name.to_owned(), value.into()));
    }

    /// The form with another text in a field.
    pub(crate) fn replaced(mut self, name: &str, value: String) -> Self {
        self.pairs.retain(|(known, _)| known != name);
        self.pairs.push((name.to_owned(), value));
        self
    }

    /// The text of a field.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.pairs.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.get(name).to_owned()
    }

    /// All texts of a field that can be ticked several times.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        self.pairs.iter().filter(|(known, _)| known == name).map(|(_, value)| value.clone()).collect()
    }

    /// Whether a box is ticked.
    pub(crate) fn is(&self, name: &str, value: &str) -> bool {
        self.pairs.iter().any(|(known, text)| known == name && text == value)
    }

    pub(crate) fn on(&self, name: &str) -> bool {
        self.is(name, "on")
    }

    /// A field with the state beside it.
    pub(crate) fn field(&self, name: &str) -> FieldInput {
        FieldInput { state: self.text(&format!("{name}_state")), value: self.text(name) }
    }

    pub(crate) fn problems(&self) -> &[FieldProblem] {
        &self.problems
    }

    /// With what a page that shows it is answered.
    pub(crate) fn status(&self) -> StatusCode {
        if self.problems.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY }
    }

    /// What is wrong with a field.
    pub(crate) fn problem(&self, name: &str) -> Option<&FieldProblem> {
        self.problems.iter().find(|problem| problem.field == name)
    }

    /// The same texts in one line, to be read back with [`Self::read`].
    pub(crate) fn line(&self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.pairs).finish()
    }

    /// All that was typed, to carry it through a sign-in.
    pub(crate) fn pairs(&self) -> &[(String, String)] {
        &self.pairs
    }
}

/// Pairs of a form that are no field of the record.
const NO_FIELDS: &[&str] = &["revision", "was", "then"];

/// What two people wrote into one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Both {
    pub(crate) field: String,
    /// What stands there now: the text, and what is known of it.
    pub(crate) theirs: (String, String),
    /// What this form has.
    pub(crate) mine: (String, String),
}

/// A form whose record somebody else changed while it was filled in.
#[derive(Debug)]
pub(crate) struct Merged {
    pub(crate) form: Form,
    /// Fields that both changed, to different values: the form's stands in it.
    pub(crate) both: Vec<Both>,
    /// Fields that only the other changed: theirs stands in the form.
    pub(crate) taken: Vec<Both>,
}

/// Brings two changes of one record together, from what stood there when the form was opened: what only one of them changed
/// is kept, and where they differ both are shown. Nothing that was typed is lost.
pub(crate) fn merge(was: &Form, theirs: &Form, mine: &Form) -> Merged {
    let named = [was, theirs, mine].into_iter().flat_map(Form::pairs).map(|(name, _)| name.as_str());
    let is_field = |name: &&str| !NO_FIELDS.contains(name) && !name.ends_with("_state");
    let names: std::collections::BTreeSet<&str> = named.filter(is_field).collect();
    let read = |form: &Form, name: &str| (form.text(name), form.text(&format!("{name}_state")));
    let mut merged = Merged { form: Form::default(), both: Vec::new(), taken: Vec::new() };
    for name in names {
        let (before, others, own) = (read(was, name), read(theirs, name), read(mine, name));
        let both = Both { field: name.to_owned(), theirs: others.clone(), mine: own.clone() };
        let stays = match (others == before, own == before) {
            (true, _) => own,
            (false, true) => {
                merged.taken.push(both);
                others
            }
            (false, false) => {
                if others != own {
                    merged.both.push(both);
                }
                own
            }
        };
        merged.form.set(name, stays.0);
        merged.form.set(&format!("{name}_state"), stays.1);
    }
    merged.form.set("revision", theirs.get("revision"));
    merged.form.set("was", theirs.line());
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_changes_of_one_record_come_together_and_nothing_is_lost() {
        let was = Form::of(&[("given", "Anna"), ("family", "Khumalo"), ("telephone", "082"), ("revision", "3")]);
        let was = Form::read(was.line().as_bytes());
        let theirs = Form::of(&[
            ("given", "Anna"),
            ("family", "Dlamini"),
            ("telephone", "083"),
            ("interpreter", "on"),
            ("revision", "4"),
        ]);
        let mine = Form::of(&[
            ("given", "Hannah"),
            ("given_state", "unsure"),
            ("family", "Khumalo"),
            ("telephone", "084"),
            ("revision", "3"),
        ]);
        let merged = merge(&was, &theirs, &mine);
        let fields = |all: &[Both]| all.iter().map(|both| both.field.clone()).collect::<Vec<_>>();
        assert_eq!(fields(&merged.both), ["telephone"]);
        assert_eq!(fields(&merged.taken), ["family", "interpreter"]);
        let form = &merged.form;
        assert_eq!((form.get("given"), form.get("given_state")), ("Hannah", "unsure"));
        assert_eq!((form.get("family"), form.get("telephone"), form.on("interpreter")), ("Dlamini", "084", true));
        assert_eq!(form.get("revision"), "4", "the next save is against what stands there now");
        assert_eq!(Form::read(form.get("was").as_bytes()).get("telephone"), "083");
    }
}
