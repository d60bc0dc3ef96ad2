//! The form for a network card's addresses.

use super::cards;
use super::keys::Key;
use crate::control::{Card, SettingsNow, SettingsProblem};

/// A list of 16 addresses of IPv6 with blanks between them would be twice as long; nobody types that.
const LONGEST: usize = 300;

/// The lines of the form, from above to below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Card,
    Way,
    Address,
    Gateway,
    Dns,
}

/// What a key did.
#[derive(Debug)]
pub(super) enum Step {
    /// The form is still being filled in.
    Stay,
    /// Somebody does not want to go on.
    Leave,
    /// It is to be taken into use.
    Send(Card),
}

/// The form.
#[derive(Clone, Debug)]
pub(super) struct Form {
    /// The settings that it was made from.
    pub(super) settings: SettingsNow,
    /// The cards, each as the settings have it, and as it is now.
    cards: Vec<(Card, Option<String>)>,
    /// Which of them is shown.
    card: usize,
    pub(super) focus: Field,
    /// Whether the addresses are typed here; else DHCP gives them.
    pub(super) is_fixed: bool,
    pub(super) address: String,
    pub(super) gateway: String,
    pub(super) dns: String,
    /// What is wrong with what was typed.
    pub(super) wrong: Vec<String>,
}

impl Form {
    /// A form for the cards that are there or that the settings name; none where there is no card.
    pub(super) fn new(settings: SettingsNow, set: &[Card], there: &[cards::Card]) -> Option<Self> {
        let now = |name: &str| {
            let card = there.iter().find(|card| card.name == name)?;
            card.addresses().into_iter().next()
        };
        let mut cards: Vec<(Card, Option<String>)> = set.iter().map(|card| (card.clone(), now(&card.name))).collect();
        let new = there.iter().filter(|card| !set.iter().any(|other| other.name == card.name));
        cards.extend(new.map(|card| (Card { name: card.name.clone(), ..Card::default() }, now(&card.name))));
        let mut form = Self {
            settings,
            cards,
            card: 0,
            focus: Field::Card,
            is_fixed: false,
            address: String::new(),
            gateway: String::new(),
            dns: String::new(),
            wrong: Vec::new(),
        };
        form.show(0).then_some(form)
    }

    /// The card's name.
    pub(super) fn name(&self) -> &str {
        self.cards.get(self.card).map_or("", |(card, _)| card.name.as_str())
    }

    /// What a key does.
    pub(super) fn key(&mut self, key: Key) -> Step {
        match key {
            Key::Escape => return Step::Leave,
            Key::Enter => return self.send(),
            Key::Tab | Key::Down => self.go(1),
            Key::BackTab | Key::Up => self.go(self.fields().len() - 1),
            Key::Left if self.focus == Field::Card => {
                self.show(self.card + self.cards.len() - 1);
            }
            Key::Right if self.focus == Field::Card => {
                self.show(self.card + 1);
            }
            Key::Left | Key::Right | Key::Letter(' ') if self.focus == Field::Way => self.turn(),
            Key::Back => {
                self.typed().and_then(String::pop);
            }
            Key::Letter(letter) => {
                if let Some(text) = self.typed().filter(|text| text.len() < LONGEST) {
                    text.push(letter);
                }
            }
            _ => {}
        }
        Step::Stay
    }

    /// The settings would not take it.
    pub(super) fn refuse(&mut self, problems: &[SettingsProblem]) {
        let words = |problem: &SettingsProblem| {
            // Keys of the form need no other name than their line's; others are not of this form.
            let is_own = problem.key.starts_with("network.");
            let key = if is_own { String::new() } else { format!("line {}, {}: ", problem.line, problem.key) };
            format!("{key}{}; {}", problem.what, problem.advice)
        };
        self.wrong = problems.iter().map(words).collect();
    }

    /// The lines that count: DHCP gives address and router.
    pub(super) fn fields(&self) -> &'static [Field] {
        if self.is_fixed {
            &[Field::Card, Field::Way, Field::Address, Field::Gateway, Field::Dns]
        } else {
            &[Field::Card, Field::Way, Field::Dns]
        }
    }

    fn go(&mut self, steps: usize) {
        let fields = self.fields();
        let at = fields.iter().position(|field| *field == self.focus).unwrap_or(0);
        self.focus = fields.get((at + steps) % fields.len()).copied().unwrap_or(Field::Card);
    }

    /// Shows another card as the settings have it; false where there is none.
    fn show(&mut self, at: usize) -> bool {
        let Some(at) = at.checked_rem(self.cards.len()) else { return false };
        let Some((card, _)) = self.cards.get(at) else { return false };
        let text = |list: &[String]| list.join(" ");
        (self.address, self.gateway, self.dns) = (text(&card.address), text(&card.gateway), text(&card.dns));
        self.is_fixed = !card.address.is_empty();
        self.card = at;
        self.wrong.clear();
        true
    }

    /// From DHCP to a fixed address, which begins with the one that the card has now, and back.
    fn turn(&mut self) {
        self.is_fixed = !self.is_fixed;
        if self.is_fixed && self.address.is_empty() {
            let now = self.cards.get(self.card).and_then(|(_, now)| now.clone());
            self.address = now.unwrap_or_default();
        }
    }

    fn typed(&mut self) -> Option<&mut String> {
        match self.focus {
            Field::Card | Field::Way => None,
            Field::Address => Some(&mut self.address),
            Field::Gateway => Some(&mut self.gateway),
            Field::Dns => Some(&mut self.dns),
        }
    }

    fn send(&mut self) -> Step {
        let list = |text: &str| -> Vec<String> {
            text.split([' ', ',', ';']).filter(|part| !part.is_empty()).map(str::to_owned).collect()
        };
        let fixed = |text: &str| if self.is_fixed { list(text) } else { Vec::new() };
        let (address, gateway) = (fixed(&self.address), fixed(&self.gateway));
        if self.is_fixed && address.is_empty() {
            self.wrong = vec!["there is no address; write one such as 192.0.2.10/24, or let DHCP give it".to_owned()];
            self.focus = Field::Address;
            return Step::Stay;
        }
        Step::Send(Card { name: self.name().to_owned(), address, gateway, dns: list(&self.dns) })
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn form() -> Form {
        let set = Card {
            name: "eth1".to_owned(),
            address: vec!["198.51.100.7/24".to_owned()],
            gateway: vec!["198.51.100.1".to_owned()],
            dns: vec!["192.0.2.53".to_owned(), "192.0.2.54".to_owned()],
        };
        let there = |name: &str, ip: [u8; 4]| cards::Card {
            name: name.to_owned(),
            addresses: vec![(IpAddr::from(ip), 24)],
            has_link: true,
        };
        let there = [there("eth0", [192, 0, 2, 99]), there("eth1", [198, 51, 100, 7])];
        Form::new(SettingsNow::default(), &[set], &there).unwrap()
    }

    fn press(form: &mut Form, keys: &[Key]) {
        for key in keys {
            assert!(matches!(form.key(*key), Step::Stay), "{key:?}");
        }
    }

    fn write(form: &mut Form, text: &str) {
        text.chars().for_each(|letter| press(form, &[Key::Letter(letter)]));
    }

    fn sent(form: &mut Form) -> Card {
        match form.key(Key::Enter) {
            Step::Send(card) => card,
            other => panic!("{other:?} {:?}", form.wrong),
        }
    }

    #[test]
    fn it_begins_with_what_the_settings_say_and_goes_back_to_dhcp() {
        let mut form = form();
        assert_eq!((form.name(), form.is_fixed, form.dns.as_str()), ("eth1", true, "192.0.2.53 192.0.2.54"));
        press(&mut form, &[Key::Tab, Key::Right]);
        assert!(!form.is_fixed);
        press(&mut form, &[Key::Down]);
        assert_eq!(form.focus, Field::Dns, "DHCP gives the others");
        let card = sent(&mut form);
        assert_eq!((card.name.as_str(), card.address.len(), card.gateway.len(), card.dns.len()), ("eth1", 0, 0, 2));
    }

    #[test]
    fn a_card_that_asks_dhcp_gets_a_fixed_address_that_begins_with_the_one_it_has() {
        let mut form = form();
        press(&mut form, &[Key::Right]);
        assert_eq!((form.name(), form.is_fixed), ("eth0", false));
        press(&mut form, &[Key::Tab, Key::Letter(' '), Key::Tab]);
        assert_eq!((form.focus, form.address.as_str()), (Field::Address, "192.0.2.99/24"));
        press(&mut form, &[Key::Back; 5]);
        write(&mut form, "10/24");
        press(&mut form, &[Key::Tab]);
        write(&mut form, "192.0.2.1");
        press(&mut form, &[Key::Tab]);
        write(&mut form, "192.0.2.53,2001:db8::53");
        let card = sent(&mut form);
        assert_eq!((card.name.as_str(), card.address), ("eth0", vec!["192.0.2.10/24".to_owned()]));
        assert_eq!((card.gateway.len(), card.dns), (1, vec!["192.0.2.53".to_owned(), "2001:db8::53".to_owned()]));
    }

    #[test]
    fn a_fixed_address_is_one_and_what_is_wrong_is_told() {
        let mut form = form();
        press(&mut form, &[Key::Tab, Key::Tab]);
        press(&mut form, &[Key::Back; 20]);
        press(&mut form, &[Key::Enter]);
        assert!(form.wrong[0].contains("there is no address"));
        let problem = |key: &str| SettingsProblem {
            line: 7,
            column: 1,
            key: key.to_owned(),
            what: "no".to_owned(),
            advice: "yes".to_owned(),
        };
        form.refuse(&[problem("network.interface[0].address[0]"), problem("name")]);
        assert_eq!(form.wrong, ["no; yes", "line 7, name: no; yes"]);
        assert!(matches!(form.key(Key::Escape), Step::Leave));
        assert!(Form::new(SettingsNow::default(), &[], &[]).is_none(), "there is no card");
    }

    #[test]
    fn one_can_go_round_and_nothing_grows_for_ever() {
        let mut form = form();
        press(&mut form, &[Key::BackTab]);
        assert_eq!(form.focus, Field::Dns);
        press(&mut form, &[Key::Down]);
        assert_eq!(form.focus, Field::Card);
        press(&mut form, &[Key::Left, Key::Left]);
        assert_eq!(form.name(), "eth1");
        press(&mut form, &[Key::Up]);
        write(&mut form, &"9".repeat(2 * LONGEST));
        assert_eq!(form.dns.len(), LONGEST);
    }
}
