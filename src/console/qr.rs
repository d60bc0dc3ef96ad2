//! An address as a QR code that a phone reads off the screen.
//!
//! Two modules to a character, one above the other, as half blocks: an address takes 17 lines of 33 characters. Where there is room for
//! it, as on a screen of many small letters, a module is two characters. The light modules are drawn and the dark ones left out, so
//! that the characters alone are the code, on the dark ground of a console.
//!
//! Facts: ISO/IEC 18004 (a quiet zone of four modules on each side); the half blocks are in every font of the Linux console (code
//! page 437).

use qrcode::{Color, EcLevel, QrCode};

/// Modules around the code that must be light; what is drawn below an odd number of lines is light, too.
const QUIET: usize = 4;

/// A code. Making one takes milliseconds, which is too long for every time that a screen is drawn.
#[derive(Clone, Debug)]
pub(super) struct Code {
    text: String,
    modules: Vec<Color>,
    /// Without the quiet zone.
    width: usize,
}

impl Code {
    /// The code of a text; none where it is too long. It mends as much as it can where that takes no more room: a screen has no dirt
    /// on it, but reflections.
    pub(super) fn of(text: &str) -> Option<Self> {
        let code = |level| QrCode::with_error_correction_level(text, level).ok();
        let least = code(EcLevel::L)?;
        let levels = [EcLevel::H, EcLevel::Q, EcLevel::M].into_iter();
        let strong = levels.filter_map(code).find(|strong| strong.width() == least.width());
        let code = strong.unwrap_or(least);
        Some(Self { text: text.to_owned(), modules: code.to_colors(), width: code.width() })
    }

    /// What it says.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Its lines; none where it does not fit into so many characters and lines.
    pub(super) fn rows(&self, width: usize, height: usize) -> Option<Vec<String>> {
        let side = self.side();
        if 2 * side <= width && side <= height {
            return Some(self.large());
        }
        (side <= width && side.div_ceil(2) <= height).then(|| self.small())
    }

    /// Modules of a side, with the quiet zone.
    fn side(&self) -> usize {
        self.width + 2 * QUIET
    }

    fn is_light(&self, x: usize, y: usize) -> bool {
        let inside = |at: usize| at.checked_sub(QUIET).filter(|at| *at < self.width);
        let module = inside(x).zip(inside(y)).and_then(|(x, y)| self.modules.get(y * self.width + x));
        module.is_none_or(|module| *module == Color::Light)
    }

    fn large(&self) -> Vec<String> {
        let module = |x, y| if self.is_light(x, y) { "██" } else { "  " };
        (0..self.side()).map(|y| (0..self.side()).map(|x| module(x, y)).collect()).collect()
    }

    fn small(&self) -> Vec<String> {
        let half = |x, y| match (self.is_light(x, y), self.is_light(x, y + 1)) {
            (true, true) => '█',
            (true, false) => '▀',
            (false, true) => '▄',
            (false, false) => ' ',
        };
        (0..self.side()).step_by(2).map(|y| (0..self.side()).map(|x| half(x, y)).collect()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_fits_beside_the_text_of_the_smallest_console() {
        let longest = "https://[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]/";
        for (address, side) in [("https://192.0.2.10/", 33), ("https://255.255.255.255/", 33), (longest, 37)] {
            let rows = Code::of(address).unwrap().rows(44, 23).unwrap();
            assert_eq!((rows.len(), rows[0].chars().count()), (usize::div_ceil(side, 2), side), "{address}");
            let first = rows.first().unwrap();
            assert!(first.chars().all(|c| c == '█') && rows.iter().all(|row| row.starts_with("████")), "a quiet zone");
        }
        let large = Code::of("https://192.0.2.10/").unwrap().rows(160, 48).unwrap();
        assert_eq!((large.len(), large[0].chars().count()), (33, 66));
        let longest = Code::of(longest).unwrap();
        assert_eq!((longest.rows(36, 23), longest.rows(44, 18)), (None, None));
    }
}
