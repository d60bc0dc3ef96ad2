//! What stands around every page: the box's name, the way to the other pages, who is logged in, and what is wrong.

use askama::Template;
use schemars::JsonSchema;
use serde::Serialize;

use super::asset;
use super::card::Trouble;
use crate::status::Support;
use crate::web::page::account::Role;

/// Around a page.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct Frame {
    /// The box's name.
    pub box_name: String,
    /// The program's version.
    pub version: String,
    /// Who is logged in; nobody on the pages before.
    pub visitor: Option<Visitor>,
    /// The page's place among the others.
    pub here: Here,
    /// What came of what the visitor did last.
    pub notice: Option<Notice>,
    /// What is wrong with the box: a banner each. The overview shows its own, which change while one looks, and leaves these out.
    pub troubles: Vec<Trouble>,
    /// Until when the version gets security updates.
    pub support: Support,
    /// Whether the first steps of the box are left to be done: every page points to them.
    pub has_first_steps: bool,
}

/// Who is logged in.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Visitor {
    /// The account's name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The secret that every form carries in its hidden field `csrf`. Not for the JSON answers.
    #[serde(skip)]
    pub csrf: String,
}

/// A place among the pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Here {
    /// `/start`
    Start,
    /// `/`
    Overview,
    /// `/sources` and what lies below.
    Sources,
    /// `/outputs` and what lies below.
    Outputs,
    /// `/live`
    Live,
    /// `/ledger`
    Ledger,
    /// `/audit`
    Audit,
    /// `/accounts`
    Accounts,
    /// `/settings`
    Settings,
    /// `/files`
    Files,
    /// `/updates`
    Updates,
    /// `/box` and `/certificate`
    Box,
    /// `/support`
    Support,
    /// None of them: an error, the log-in.
    #[default]
    Elsewhere,
}

/// What came of what a visitor did.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Notice {
    /// Whether it was done. Else it was refused, and the text says why.
    pub done: bool,
    /// In a sentence.
    pub text: String,
}

/// A line of the navigation.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    pub(super) path: &'static str,
    pub(super) title: &'static str,
    pub(super) is_here: bool,
}

/// Where one can go, in order.
const WAYS: [(Here, &str, &str); 13] = [
    (Here::Start, "/start", "First steps"),
    (Here::Overview, "/", "Overview"),
    (Here::Sources, "/sources", "Sources"),
    (Here::Outputs, "/outputs", "Outputs"),
    (Here::Live, "/live", "Live"),
    (Here::Ledger, "/ledger", "Ledger"),
    (Here::Settings, "/settings", "Settings"),
    (Here::Files, "/files", "Files"),
    (Here::Box, "/box", "Box"),
    (Here::Updates, "/updates", "Updates"),
    (Here::Support, "/support", "Support"),
    (Here::Audit, "/audit", "Audit"),
    (Here::Accounts, "/accounts", "Accounts"),
];

impl Frame {
    /// Where this visitor can go.
    pub(super) fn ways(&self) -> Vec<Way> {
        let may = WAYS.into_iter().filter(|(here, ..)| match here {
            Here::Start => self.has_first_steps || self.here == Here::Start,
            Here::Accounts | Here::Files | Here::Support => self.is_administrator(),
            _ => true,
        });
        may.map(|(here, path, title)| Way { path, title, is_here: here == self.here }).collect()
    }

    /// Whether the visitor may change things.
    pub(super) fn is_administrator(&self) -> bool {
        self.visitor.as_ref().is_some_and(|visitor| visitor.role == Role::Administrator)
    }

    /// The secret for forms; empty where nobody is logged in.
    pub(super) fn csrf(&self) -> &str {
        self.visitor.as_ref().map_or("", |visitor| visitor.csrf.as_str())
    }

    /// The path of the asset with this ending.
    pub(super) fn asset(&self, ending: &str) -> &'static str {
        asset::path(ending)
    }

    /// The faults that stand above this page.
    pub(super) fn banners(&self) -> &[Trouble] {
        if self.here == Here::Overview { &[] } else { &self.troubles }
    }
}

#[derive(Debug, Template)]
#[template(path = "error.html", config = ".askama.toml")]
struct ErrorPage<'a> {
    frame: &'a Frame,
    status: u16,
    what: &'a str,
    todo: &'a str,
}

pub(super) fn error(frame: &Frame, status: u16, what: &str, todo: &str) -> String {
    super::render(&ErrorPage { frame, status, what, todo })
}
