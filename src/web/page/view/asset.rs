//! The style sheet, the script and the icon: inside the program, each at a path that changes with its content, so that a browser
//! may keep it for ever.

use std::sync::LazyLock;

use crate::web::page::history::sum;

/// A file that pages refer to.
#[derive(Clone, Debug)]
pub struct Asset {
    /// Where it is, such as `/assets/page-0123456789abcdef.css`.
    pub path: String,
    /// Its type.
    pub content_type: &'static str,
    /// What is in it.
    pub bytes: &'static [u8],
}

/// The style sheet, the script, the icon.
static ASSETS: LazyLock<[Asset; 3]> = LazyLock::new(|| {
    [
        asset("css", "text/css; charset=utf-8", include_bytes!("asset/page.css")),
        asset("js", "text/javascript; charset=utf-8", include_bytes!("asset/page.js")),
        asset("svg", "image/svg+xml", include_bytes!("asset/icon.svg")),
    ]
});

/// All assets. They may be kept for ever: what changes gets another path.
#[must_use]
pub fn assets() -> &'static [Asset] {
    ASSETS.as_slice()
}

fn asset(ending: &str, content_type: &'static str, bytes: &'static [u8]) -> Asset {
    Asset { path: format!("/assets/page-{:016x}.{ending}", sum(bytes)), content_type, bytes }
}

/// The path of the asset with this ending.
pub(super) fn path(ending: &str) -> &'static str {
    ASSETS.iter().map(|asset| asset.path.as_str()).find(|path| path.ends_with(ending)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_asset_has_a_path_of_its_own_that_follows_its_content() {
        for ending in [".css", ".js", ".svg"] {
            let asset = assets().iter().find(|asset| asset.path == path(ending)).unwrap();
            assert!(!asset.bytes.is_empty() && asset.path.starts_with("/assets/page-"), "{asset:?}");
        }
    }

    #[test]
    fn assets_call_on_nothing_outside() {
        for asset in assets() {
            let text = std::str::from_utf8(asset.bytes).unwrap();
            let places =
                text.match_indices("http").filter(|(at, _)| !text[*at..].starts_with("http://www.w3.org/2000/svg"));
            assert_eq!(places.count(), 0, "{}", asset.path);
            assert!(!text.contains("@import") && !text.contains("eval("), "{}", asset.path);
        }
    }
}
