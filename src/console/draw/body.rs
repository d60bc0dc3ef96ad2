//! The text between the first and the last line.

use super::{Piece, Row, Tone, text};
use crate::console::ask::{Seen, Silence};
use crate::console::cards::Card;
use crate::console::view::{State, View};
use crate::quantity::{age, size, thousands};
use crate::status::{Component, Count, Gauge, Health, Line};
use crate::update::{self, Phase};

/// Width of what stands before a fact.
const LABEL: usize = 13;
/// A start with a long queue whose index is made anew takes a minute (`TimeoutStartSec=` of its unit allows three).
const STARTS_WITHIN: u64 = 180;

/// All lines, for a width; the first `beside` of them are this narrow, because something stands beside them.
pub(super) fn rows(view: &View, width: usize, beside: usize, narrow: usize) -> Vec<Row> {
    let mut body = Body { width, beside, narrow, rows: vec![Row::new()] };
    match &view.state {
        State::Unknown => body.say(Tone::Plain, "The program is asked how the box is."),
        State::Silent { silence, since, spoke } => {
            body.silent(silence, (view.now - *since).as_secs(), *spoke);
            body.network(view);
        }
        State::Seen(seen) => body.seen(view, seen),
    }
    body.rows
}

struct Body {
    width: usize,
    beside: usize,
    narrow: usize,
    rows: Vec<Row>,
}

impl Body {
    /// The width of what comes next.
    fn width(&self) -> usize {
        if self.rows.len() < self.beside { self.narrow } else { self.width }
    }

    fn say(&mut self, tone: Tone, text: &str) {
        let lines = text::wrapped(&text::shown(text), self.width());
        self.rows.extend(lines.into_iter().map(|line| vec![Piece { text: format!(" {line}"), tone }]));
    }

    fn gap(&mut self) {
        self.rows.push(Row::new());
    }

    /// A fact with its name before it; its other lines stand below the first.
    fn fact(&mut self, label: &str, tone: Tone, text: &str) {
        let lines = text::wrapped(&text::shown(text), self.width().saturating_sub(LABEL));
        for (at, line) in lines.into_iter().enumerate() {
            let label = if at == 0 { label } else { "" };
            let label = Piece { text: format!(" {label:<LABEL$}"), tone: Tone::Plain };
            self.rows.push(vec![label, Piece { text: line, tone }]);
        }
    }

    /// Several facts under one name.
    fn facts(&mut self, label: &str, facts: &[(Tone, String)]) {
        for (at, (tone, text)) in facts.iter().enumerate() {
            self.fact(if at == 0 { label } else { "" }, *tone, text);
        }
    }

    fn silent(&mut self, silence: &Silence, seconds: u64, spoke: bool) {
        if !spoke && seconds < STARTS_WITHIN && *silence == Silence::Gone {
            self.say(Tone::Worry, "The program is starting.");
            self.gap();
            self.say(Tone::Plain, "Wait: it takes a few seconds, and up to three minutes if much waits on the disk.");
            self.gap();
            return;
        }
        let what = match silence {
            Silence::Gone => "The program does not run.",
            Silence::Hangs => "The program does not answer.",
            Silence::Refused(_) => "The program cannot be asked how the box is.",
        };
        self.say(Tone::Bad, what);
        if let Silence::Refused(why) = silence {
            self.say(Tone::Plain, why);
        }
        if seconds > 0 {
            self.say(Tone::Plain, &format!("This is so for {}.", age(seconds)));
        }
        self.gap();
        self.say(
            Tone::Plain,
            "to do: wait, it is started again by itself. If this stays for five minutes, switch the box off and on: nothing that was \
             answered is lost by that. If it comes back to this, call the support.",
        );
        self.gap();
    }

    fn seen(&mut self, view: &View, seen: &Seen) {
        let is_new = seen.face.claim_code.is_some();
        if is_new {
            self.claim(view, seen);
        }
        let (state, words) = seen.snapshot.verdict();
        self.say(tone_of(state), &words);
        self.gap();
        self.troubles(seen, is_new);
        if !is_new {
            self.page(view, seen);
        }
        self.network(view);
        self.numbers(view, seen);
        self.updates(&seen.update);
        let tone = if seen.snapshot.support.is_due() { Tone::Worry } else { Tone::Plain };
        self.fact("support", tone, &seen.snapshot.support.words);
        self.gap();
        self.parts(seen);
    }

    /// What somebody needs to make the box theirs.
    fn claim(&mut self, view: &View, seen: &Seen) {
        self.say(Tone::Strong, "Nobody has claimed this box. Open its page and type the claim code:");
        self.gap();
        self.fact("claim code", Tone::Strong, seen.face.claim_code.as_deref().unwrap_or_default());
        self.page(view, seen);
        if let Some(certificate) = &seen.face.certificate {
            self.fact("certificate", Tone::Plain, certificate);
        }
        self.gap();
    }

    fn page(&mut self, view: &View, seen: &Seen) {
        let pages: Vec<_> = view.pages.iter().map(|page| (Tone::Strong, page.clone())).collect();
        if seen.face.page.is_empty() {
            self.fact("page", Tone::Plain, "none: the settings have no [page] table");
        } else if pages.is_empty() {
            let words = "none yet: no card has an address. Is a cable in, and does DHCP give one? n sets a fixed one";
            self.fact("page", Tone::Worry, words);
        } else {
            self.facts("page", &pages);
        }
    }

    fn network(&mut self, view: &View) {
        let card = |card: &Card| match (card.has_link, card.addresses().join("  ")) {
            (true, addresses) if addresses.is_empty() => (Tone::Worry, format!("{} no address", card.name)),
            (true, addresses) => (Tone::Plain, format!("{} {addresses}", card.name)),
            (false, addresses) if addresses.is_empty() => (Tone::Plain, format!("{} no cable", card.name)),
            (false, addresses) => (Tone::Plain, format!("{} no cable, {addresses}", card.name)),
        };
        let cards: Vec<_> = view.cards.iter().map(card).collect();
        if cards.is_empty() {
            self.fact("network", Tone::Worry, "no card is known");
        }
        self.facts("network", &cards);
    }

    /// Everything that is wrong, the worst first.
    fn troubles(&mut self, seen: &Seen, is_new: bool) {
        // The claim is said above already.
        for line in sorted(seen).into_iter().filter(|line| !is_new || !line.waits_for_claim()) {
            let Some([which, what, todo]) = line.trouble() else { continue };
            self.say(tone_of(line.health.word()), &which);
            self.say(Tone::Plain, &what);
            self.say(Tone::Plain, &todo);
            self.gap();
        }
    }

    fn numbers(&mut self, view: &View, seen: &Seen) {
        let rates = view.rates.map_or_else(
            || "not yet measured".to_owned(),
            |(received, delivered)| format!("{} in, {} out", thousands(received), thousands(delivered)),
        );
        self.fact("events/s", Tone::Plain, &rates);
        let outputs: Vec<_> = of(seen, Component::Output).map(output).collect();
        if outputs.is_empty() {
            self.fact("gateway", Tone::Worry, "none yet: the settings have no output");
        }
        self.facts("gateway", &outputs);
        let queue: Vec<_> = of(seen, Component::Queue).map(|line| (Tone::Plain, queue(line, seen))).collect();
        self.facts("queue", &queue);
    }

    fn updates(&mut self, update: &update::Status) {
        let leave = if matches!(update.phase, Phase::Installing { .. }) { "; leave the power on" } else { "" };
        let phase = (update.phase != Phase::Idle).then(|| (Tone::Strong, format!("{}{leave}", update.phase.words())));
        let offer = update.offer.as_ref().map(|offer| (Tone::Plain, format!("version {} is offered", offer.version)));
        let fallen = update.fell_back.last().map(|fallen| {
            let words = format!("version {} did not work here: {}", fallen.version, fallen.why);
            (Tone::Worry, words)
        });
        let mut facts: Vec<_> = phase.into_iter().chain(offer).chain(fallen).collect();
        match &update.unavailable {
            Some(why) => facts.push((Tone::Plain, format!("not available: {why}"))),
            None if facts.is_empty() => facts.push((Tone::Plain, "nothing newer is known".to_owned())),
            None => {}
        }
        self.facts("updates", &facts);
    }

    /// Every part, the worst first.
    fn parts(&mut self, seen: &Seen) {
        for line in sorted(seen) {
            let (kind, id, word) = (line.component.as_str(), &line.id, line.health.word());
            let numbers = match line.component {
                Component::Source => format!(
                    ": {} received, {} dropped",
                    thousands(line.count(Count::ReceivedEvents)),
                    thousands(line.dropped_total())
                ),
                _ => String::new(),
            };
            self.fact(word, tone_of(word), &format!("{kind} {id}{numbers}"));
        }
    }
}

fn tone_of(word: &str) -> Tone {
    match word {
        "healthy" => Tone::Good,
        "failed" => Tone::Bad,
        "stopped" => Tone::Plain,
        _ => Tone::Worry,
    }
}

fn sorted(seen: &Seen) -> Vec<&Line> {
    let mut lines: Vec<&Line> = seen.snapshot.components.iter().collect();
    lines.sort_by_key(|line| std::cmp::Reverse(line.health.severity()));
    lines
}

fn of(seen: &Seen, component: Component) -> impl Iterator<Item = &Line> {
    seen.snapshot.components.iter().filter(move |line| line.component == component)
}

fn output(line: &Line) -> (Tone, String) {
    let word = line.health.word();
    let delivered = thousands(line.count(Count::DeliveredEvents));
    let tone = if line.health == Health::Healthy { Tone::Plain } else { tone_of(word) };
    (tone, format!("{} is {word}, {delivered} events delivered", line.id))
}

fn queue(line: &Line, seen: &Seen) -> String {
    let room =
        format!("{} of {} on the disk", size(line.gauge(Gauge::QueuedBytes)), size(line.gauge(Gauge::QueueLimitBytes)));
    let waits = line.gauge(Gauge::QueuedEvents);
    if waits == 0 {
        return format!("nothing waits, {room}");
    }
    let waiting = |line: &&Line| matches!(line.component, Component::Queue | Component::Output);
    let lines = seen.snapshot.components.iter().filter(waiting);
    let oldest = lines.map(|line| line.gauge(Gauge::OldestSeconds)).max().unwrap_or(0);
    format!("{} events wait, the oldest for {}; {room}", thousands(waits), age(oldest))
}
