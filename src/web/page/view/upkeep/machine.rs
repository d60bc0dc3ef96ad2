//! The box itself: its name, its network cards, and where it has the time from.

use askama::Template;
use schemars::JsonSchema;
use serde::Serialize;

use crate::web::page::view::{Form, Frame, Trial, text};

/// The box itself.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct Machine {
    /// Its name, as events and pages have it.
    pub name: String,
    /// The same where the settings give it; else it is the machine's host name.
    pub set_name: Option<String>,
    /// Its network cards, by name: those that are there, and those that the settings name.
    pub cards: Vec<Card>,
    /// Time servers of the settings; none: those that the network gives.
    pub ntp: Vec<String>,
    /// The time that it has now (RFC 3339).
    pub at: String,
    /// Whether a time server has set it; nothing where the box does not know.
    pub is_set: Option<bool>,
    /// Settings that wait to be confirmed.
    #[serde(skip)]
    pub trial: Option<Trial>,
}

/// A network card.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct Card {
    /// Its name.
    pub name: String,
    /// Whether it is in the machine.
    pub is_there: bool,
    /// Whether a cable with somebody at its other end is in it.
    pub has_link: bool,
    /// Its hardware address.
    pub mac: Option<String>,
    /// Its own addresses with the length of their networks; none: the network gives one.
    pub address: Vec<String>,
    /// The way out.
    pub gateway: Vec<String>,
    /// The servers asked for names.
    pub dns: Vec<String>,
}

/// What was typed into the forms of the page. A form that is shown for the first time has what the settings say.
#[derive(Clone, Debug, Default)]
pub struct Forms {
    /// For the name.
    pub name: Option<Form>,
    /// For the time servers.
    pub time: Option<Form>,
    /// For a card, by its name.
    pub card: Option<(String, Form)>,
}

impl Card {
    /// What stands in its form.
    #[must_use]
    pub fn form(&self) -> Form {
        let lists = [("address", &self.address), ("gateway", &self.gateway), ("dns", &self.dns)];
        lists.into_iter().fold(Form::default(), |form, (field, values)| form.keep(field, &values.join(" ")))
    }

    fn link(&self) -> &'static str {
        match (self.is_there, self.has_link) {
            (false, _) => "there is no such card in this machine",
            (true, true) => "connected",
            (true, false) => "no cable, or nobody at its other end",
        }
    }
}

/// A card with its form.
#[derive(Debug)]
struct Shown<'a> {
    card: &'a Card,
    form: Form,
    /// Ids of its fields begin so; its number, because its name may hold anything that a name of a card may.
    id: String,
}

impl Shown<'_> {
    /// A field that may stay empty.
    fn field(&self, name: &str, label: &str, help: &str) -> String {
        let id = format!("{}-{name}", self.id);
        self.form.field(&id, label, "text", "off", help).optional().render().unwrap_or_default()
    }
}

#[derive(Debug, Template)]
#[template(path = "upkeep/box.html", config = ".askama.toml")]
struct Page<'a> {
    frame: &'a Frame,
    page: &'a Machine,
    name: Form,
    time: Form,
    cards: Vec<Shown<'a>>,
}

impl Page<'_> {
    fn clock(&self) -> String {
        text::clock(&self.page.at)
    }
}

#[derive(Debug, Template)]
#[template(path = "upkeep/again.html", config = ".askama.toml")]
struct Again<'a> {
    frame: &'a Frame,
}

pub(in crate::web::page::view) fn page(frame: &Frame, page: &Machine, forms: &Forms) -> String {
    let name = || Form::default().keep("name", page.set_name.as_deref().unwrap_or_default());
    let time = || Form::default().keep("ntp", &page.ntp.join(" "));
    let cards = page.cards.iter().enumerate().map(|(at, card)| {
        let typed = forms.card.as_ref().filter(|(name, _)| *name == card.name);
        let form = typed.map_or_else(|| card.form(), |(_, form)| form.clone());
        Shown { card, form, id: format!("card{at}") }
    });
    crate::web::page::view::render(&Page {
        frame,
        page,
        name: forms.name.clone().unwrap_or_else(name),
        time: forms.time.clone().unwrap_or_else(time),
        cards: cards.collect(),
    })
}

pub(in crate::web::page::view) fn again(frame: &Frame) -> String {
    crate::web::page::view::render(&Again { frame })
}
