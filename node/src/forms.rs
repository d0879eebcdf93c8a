//! Forms as data. One definition makes the page, the blank sheet of paper, the API, and the columns of reports.
//! An office makes forms of its own, and adds fields to those of this program or leaves fields of them out.

use crate::codes;
use crate::records::TaskKind;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};
use utoipa::ToSchema;

/// The version of the forms that this program brings.
pub const VERSION: u16 = 1;
/// Fields of one form.
pub const FIELDS_MAX: usize = 64;

/// What an entry of a form belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum About {
    /// A case.
    Case,
    /// A person.
    Person,
    /// The office.
    Office,
}

/// What kind of answer a field takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FieldKind {
    /// One line.
    Line,
    /// Words.
    Text,
    /// A day.
    Day,
    /// A whole number.
    Number,
    /// An amount, in the office's currency unless another is written behind it.
    Money,
    /// A code of a list.
    Code,
    /// Yes or no.
    YesNo,
}

/// A field of a form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FormField {
    /// Its id; the text of a field of this program stands in the catalogues.
    pub id: String,
    /// The text of a field that an office made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// What kind of answer it takes.
    pub kind: FieldKind,
    /// The list of a code.
    #[serde(default)]
    pub list: Option<String>,
    /// Whether an entry needs it; *unknown*, *refused*, *not asked* and *unsure* are answers too.
    #[serde(default)]
    pub required: bool,
    /// The least number.
    #[serde(default)]
    pub min: Option<i64>,
    /// The greatest number.
    #[serde(default)]
    pub max: Option<i64>,
    /// No longer asked: earlier answers stay.
    #[serde(default)]
    pub retired: bool,
}

/// A task that follows from an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FormTask {
    /// What kind of task.
    #[schema(value_type = String)]
    pub kind: TaskKind,
    /// Its text in the catalogues (`form-task-TITLE`).
    pub title: String,
    /// The field with the day from which is counted.
    pub from: String,
    /// So many days after it.
    #[serde(default)]
    pub days: i32,
}

/// A form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Form {
    /// Its id; the text of a form of this program stands in the catalogues.
    pub id: String,
    /// The text of a form that an office made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What an entry of it belongs to.
    pub about: About,
    /// The module that it comes with.
    pub module: String,
    /// Its fields, in order.
    pub fields: Vec<FormField>,
    /// What has to be done after it.
    #[serde(default)]
    pub tasks: Vec<FormTask>,
    /// Whether a supervisor may be asked to approve an entry of it.
    #[serde(default)]
    pub approved: bool,
    /// No longer offered: earlier entries stay.
    #[serde(default)]
    pub retired: bool,
}

/// Forms whose entries feed lists and checks, which show them to all who see the case.
const FOR_ALL: &[&str] = &["party", "alert", "confirmed"];

impl Form {
    /// Whether its entries are for all who see what they belong to.
    pub fn is_for_all(&self) -> bool {
        FOR_ALL.contains(&self.id.as_str())
    }

    /// The fields that are asked.
    pub fn asked(&self) -> impl Iterator<Item = &FormField> {
        self.fields.iter().filter(|field| !field.retired)
    }

    /// Whether a field can be left out by an office: nothing follows from it.
    pub fn can_do_without(&self, field: &FormField) -> bool {
        !field.required && !self.is_for_all() && self.tasks.iter().all(|task| task.from != field.id)
    }

    /// A field by its id.
    pub fn field(&self, id: &str) -> Option<&FormField> {
        self.fields.iter().find(|field| field.id == id)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    form: Vec<Form>,
}

/// Why a file of forms cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FormError {
    /// The file is no such file.
    #[error("{0}")]
    Syntax(String),
    /// A form is wrong.
    #[error("form {form:?}: {why}")]
    Form {
        /// Which.
        form: String,
        /// What is wrong, and what to do.
        why: String,
    },
}

/// Reads a file of forms.
///
/// # Errors
/// When it does not hold: with the line, or the form and what is wrong in it.
pub fn read(text: &str) -> Result<Vec<Form>, FormError> {
    let File { form: forms } = toml::from_str(text).map_err(|error| FormError::Syntax(error.to_string()))?;
    let mut ids = BTreeSet::new();
    for form in &forms {
        let wrong = |why: String| Err(FormError::Form { form: form.id.clone(), why });
        if !ids.insert(&form.id) {
            return wrong("it stands in the file twice".into());
        }
        if form.fields.is_empty() || form.fields.len() > FIELDS_MAX {
            return wrong(format!("a form has 1 to {FIELDS_MAX} fields"));
        }
        let mut fields = BTreeSet::new();
        for field in &form.fields {
            if !fields.insert(&field.id) {
                return wrong(format!("field {:?} stands in it twice", field.id));
            }
            match (field.kind, field.list.as_deref()) {
                (FieldKind::Code, Some(list)) if codes::list(list).is_some() => {}
                (FieldKind::Code, list) => return wrong(format!("field {:?}: there is no list {list:?}", field.id)),
                (_, Some(_)) => return wrong(format!("field {:?} takes no list", field.id)),
                (_, None) => {}
            }
        }
        for task in &form.tasks {
            if form.field(&task.from).is_none_or(|field| field.kind != FieldKind::Day) {
                return wrong(format!("a task counts from {:?}, which is no day field of it", task.from));
            }
        }
    }
    Ok(forms)
}

/// The forms that this program brings. What an office works with is its [`crate::vocabulary::Vocabulary`].
pub fn all() -> &'static [Arc<Form>] {
    static FORMS: LazyLock<Vec<Arc<Form>>> = LazyLock::new(|| {
        let forms = read(include_str!("../packs/forms.toml")).unwrap_or_else(|error| {
            tracing::error!(%error, "the forms of this program cannot be read");
            Vec::new()
        });
        forms.into_iter().map(Arc::new).collect()
    });
    &FORMS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_this_program_hold() {
        let forms = read(include_str!("../packs/forms.toml")).unwrap();
        assert_eq!(forms.len(), all().len());
        assert!(forms.len() > 15);
    }

    #[test]
    fn what_is_wrong_in_a_form_is_said() {
        let with = |fields: &str, tasks: &str| {
            let text = format!("[[form]]\nid = \"x\"\nabout = \"case\"\nmodule = \"core\"\n{fields}\n{tasks}");
            read(&text).map_err(|error| error.to_string())
        };
        let field = r#"fields = [{ id = "a", kind = "line" }]"#;
        assert!(with(field, "").is_ok());
        for (fields, tasks, expected) in [
            (r#"fields = [{ id = "a", kind = "line" }, { id = "a", kind = "day" }]"#, "", "stands in it twice"),
            (r#"fields = [{ id = "a", kind = "code", list = "nothing" }]"#, "", "there is no list"),
            (r#"fields = [{ id = "a", kind = "line", list = "sex" }]"#, "", "takes no list"),
            (r#"fields = []"#, "", "1 to 64 fields"),
            (field, r#"tasks = [{ kind = "review", title = "t", from = "a" }]"#, "no day field"),
            (r#"fields = [{ id = "a", kind = "colour" }]"#, "", "unknown variant"),
        ] {
            let error = with(fields, tasks).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
