//! Forms as people send them: names and texts, in order. Nothing is refused here; what is wrong is said beside
//! its field, with what was typed still in it.

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

    /// What is wrong with a field.
    pub(crate) fn problem(&self, name: &str) -> Option<&FieldProblem> {
        self.problems.iter().find(|problem| problem.field == name)
    }

    /// All that was typed, to carry it through a sign-in.
    pub(crate) fn pairs(&self) -> &[(String, String)] {
        &self.pairs
    }
}
