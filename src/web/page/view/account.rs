//! Who may look, and who may change things: the list, the forms, the log-in and the claim.

use std::collections::BTreeMap;

use askama::Template;
use schemars::JsonSchema;
use serde::Serialize;

use super::frame::Frame;
use super::text;
use crate::web::page::account::Role;

/// What makes a good password; the rules themselves are where accounts are kept.
const PASSWORD_HELP: &str = "12 characters or more: four words make a good one.";

/// All accounts.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct Accounts {
    /// By name.
    pub accounts: Vec<Account>,
}

/// One account.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// When it logged in last (RFC 3339).
    pub last_login: Option<String>,
    /// Until when it is locked, after too many wrong passwords (RFC 3339).
    pub locked_until: Option<String>,
}

impl Account {
    fn login_clock(&self) -> String {
        self.last_login.as_deref().map(text::clock).unwrap_or_default()
    }

    fn lock_clock(&self) -> String {
        self.locked_until.as_deref().map(text::clock).unwrap_or_default()
    }
}

/// What was typed into a form, and what was wrong with it. A form that is shown for the first time is `Form::default()`.
#[derive(Clone, Debug, Default)]
pub struct Form {
    values: BTreeMap<String, String>,
    faults: BTreeMap<String, String>,
    fault: Option<String>,
}

impl Form {
    /// Keeps what was typed into a field. Passwords and codes are not to be kept.
    #[must_use]
    pub fn keep(mut self, field: &str, value: &str) -> Self {
        self.values.insert(field.to_owned(), value.to_owned());
        self
    }

    /// Says what is wrong with a field, and what to type instead.
    #[must_use]
    pub fn fault(mut self, field: &str, words: impl Into<String>) -> Self {
        self.faults.insert(field.to_owned(), words.into());
        self
    }

    /// Says what is wrong with the form as a whole, such as a name and password that do not fit.
    #[must_use]
    pub fn refuse(mut self, words: impl Into<String>) -> Self {
        self.fault = Some(words.into());
        self
    }

    /// Whether nothing was found wrong.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.fault.is_none() && self.faults.is_empty()
    }

    /// What stands in a field.
    pub(super) fn value(&self, field: &str) -> &str {
        self.values.get(field).map_or("", String::as_str)
    }

    /// What is wrong with a field, if something is.
    pub(super) fn wrong(&self, field: &str) -> Option<&str> {
        self.faults.get(field).map(String::as_str)
    }

    /// What is wrong as a whole, if something is.
    pub(in crate::web::page) fn refused(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// One field as it is shown. `id` begins with the form's name where a page has several.
    pub(super) fn field<'a>(
        &'a self,
        id: &'a str,
        label: &'a str,
        kind: &'a str,
        fill: &'a str,
        help: &'a str,
    ) -> Field<'a> {
        let name = id.rsplit('-').next().unwrap_or(id);
        let value = if kind == "password" { "" } else { self.value(name) };
        Field { id, name, label, kind, fill, help, value, is_required: true, fault: self.wrong(name) }
    }
}

/// A label, its input, and what is said beside it.
#[derive(Clone, Copy, Debug, Template)]
#[template(path = "field.html", config = ".askama.toml")]
pub(super) struct Field<'a> {
    id: &'a str,
    name: &'a str,
    label: &'a str,
    /// The input's type.
    kind: &'a str,
    /// What the browser may fill in (HTML, section "Autofill").
    fill: &'a str,
    help: &'a str,
    value: &'a str,
    is_required: bool,
    fault: Option<&'a str>,
}

impl Field<'_> {
    /// The same, which may stay empty.
    pub(super) fn optional(self) -> Self {
        Self { is_required: false, ..self }
    }

    /// The ids of what is said beside the input.
    fn described(&self) -> String {
        let help = (!self.help.is_empty()).then(|| format!("{}-help", self.id));
        let fault = self.fault.map(|_| format!("{}-fault", self.id));
        help.into_iter().chain(fault).collect::<Vec<_>>().join(" ")
    }
}

/// A template of our own is no text from outside: what it shows was escaped inside.
impl askama::filters::HtmlSafe for Field<'_> {}

#[derive(Debug, Template)]
#[template(path = "accounts.html", config = ".askama.toml")]
struct AccountsPage<'a> {
    frame: &'a Frame,
    page: &'a Accounts,
    add: &'a Form,
    own: &'a Form,
}

impl AccountsPage<'_> {
    /// Whether this is the visitor's own account, which nobody takes from under their own feet.
    fn is_own(&self, account: &Account) -> bool {
        self.frame.visitor.as_ref().is_some_and(|visitor| visitor.name == account.name)
    }

    /// Whether the form to add an account comes back with this role; a viewer is the safer choice.
    fn adds_administrator(&self) -> bool {
        self.add.value("role") == Role::Administrator.as_str()
    }
}

#[derive(Debug, Template)]
#[template(path = "login.html", config = ".askama.toml")]
struct LoginPage<'a> {
    frame: &'a Frame,
    form: &'a Form,
}

#[derive(Debug, Template)]
#[template(path = "claim.html", config = ".askama.toml")]
struct ClaimPage<'a> {
    frame: &'a Frame,
    form: &'a Form,
}

pub(super) fn page(frame: &Frame, page: &Accounts, add: &Form, own: &Form) -> String {
    super::render(&AccountsPage { frame, page, add, own })
}

pub(super) fn login(frame: &Frame, form: &Form) -> String {
    super::render(&LoginPage { frame, form })
}

pub(super) fn claim(frame: &Frame, form: &Form) -> String {
    super::render(&ClaimPage { frame, form })
}
