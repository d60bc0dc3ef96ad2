//! What programs can ask of the page itself: who is logged in, what is shown, accounts, settings and files. What belongs to
//! entries and to upkeep stands in their rooms.

/// One thing that can be asked.
pub(super) struct Call {
    pub(super) path: &'static str,
    pub(super) method: &'static str,
    pub(super) about: &'static str,
    pub(super) needs: Needs,
    /// The type of what is sent: one of ours, or a media type where it is no JSON.
    pub(super) body: Option<&'static str>,
    /// Status, and the type of what is answered.
    pub(super) answer: (u16, Option<&'static str>),
    /// Statuses of what can be refused, besides those that everything can be.
    pub(super) refused: &'static [u16],
}

/// Who may ask.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    Nobody,
    Session,
}

/// All of them but those of the forms.
pub(super) const CALLS: [Call; 23] = [
    call("/openapi.json", "get", "This document.", Needs::Nobody, (200, None)),
    Call {
        body: Some("Claim"),
        refused: &[409, 422, 429, 500, 503],
        ..call(
            "/claim",
            "post",
            "Claims a new box: makes its first administrator.",
            Needs::Nobody,
            (200, Some("Session")),
        )
    },
    Call {
        body: Some("Credentials"),
        refused: &[429, 500, 503],
        ..call("/session", "post", "Logs in.", Needs::Nobody, (200, Some("Session")))
    },
    call("/session", "get", "Says who is logged in.", Needs::Session, (200, Some("Session"))),
    Call { refused: &[403], ..call("/session", "delete", "Logs out.", Needs::Session, (204, None)) },
    call("/overview", "get", "The box's health, with its charts.", Needs::Session, (200, Some("Overview"))),
    call("/sources", "get", "All sources.", Needs::Session, (200, Some("Sources"))),
    Call {
        refused: &[404],
        ..call(
            "/sources/{id}",
            "get",
            "One source, with its numbers and chart.",
            Needs::Session,
            (200, Some("SourcePage")),
        )
    },
    Call {
        refused: &[503],
        ..call("/ledger", "get", "What became of each source's events.", Needs::Session, (200, Some("Ledger")))
    },
    call("/audit", "get", "Who did what on the page, the newest first.", Needs::Session, (200, Some("Audit"))),
    Call {
        refused: &[403],
        ..call("/accounts", "get", "All accounts. For administrators.", Needs::Session, (200, Some("Accounts")))
    },
    Call {
        body: Some("NewAccount"),
        refused: &[403, 409, 422, 500, 503],
        ..call("/accounts", "post", "Makes an account. For administrators.", Needs::Session, (201, None))
    },
    Call {
        refused: &[403, 404, 409, 500],
        ..call("/accounts/{name}", "delete", "Takes an account away. For administrators.", Needs::Session, (204, None))
    },
    Call {
        body: Some("NewPassword"),
        refused: &[403, 422, 429, 500, 503],
        ..call(
            "/accounts/{name}/password",
            "put",
            "Sets the own password; all sessions of the account end, and a new one begins.",
            Needs::Session,
            (200, Some("Session")),
        )
    },
    Call {
        refused: &[409],
        ..call(
            "/settings",
            "get",
            "The settings in use, and the copies one can go back to.",
            Needs::Session,
            (200, Some("Settings")),
        )
    },
    Call {
        body: Some("NewSettings"),
        refused: &[403, 409, 422],
        ..call(
            "/settings",
            "put",
            "Takes settings into use. For administrators.",
            Needs::Session,
            (200, Some("Applied")),
        )
    },
    Call {
        body: Some("NewText"),
        refused: &[403, 409],
        ..call(
            "/settings/check",
            "post",
            "Says what is wrong with settings, and what is different. For administrators.",
            Needs::Session,
            (200, Some("Review")),
        )
    },
    Call {
        refused: &[404, 409],
        ..call(
            "/settings/copies/{number}",
            "get",
            "A copy of settings that have worked.",
            Needs::Session,
            (200, Some("Settings")),
        )
    },
    Call {
        refused: &[403, 409],
        ..call(
            "/settings/confirm",
            "post",
            "Keeps settings that wait to be confirmed. For administrators.",
            Needs::Session,
            (204, None),
        )
    },
    Call {
        refused: &[403, 409],
        ..call(
            "/settings/take-back",
            "post",
            "Goes back to the settings before. For administrators.",
            Needs::Session,
            (204, None),
        )
    },
    Call {
        refused: &[403, 500],
        ..call(
            "/files",
            "get",
            "Files that the settings can name. For administrators.",
            Needs::Session,
            (200, Some("Files")),
        )
    },
    Call {
        body: Some("Content"),
        refused: &[403, 409, 422, 500],
        ..call(
            "/files/{name}",
            "put",
            "Keeps a secret, key or certificate in the box. For administrators.",
            Needs::Session,
            (204, None),
        )
    },
    Call {
        refused: &[403, 404, 409, 422, 500],
        ..call(
            "/files/{name}",
            "delete",
            "Takes a file away that nothing names. For administrators.",
            Needs::Session,
            (204, None),
        )
    },
];

pub(super) const fn call(
    path: &'static str,
    method: &'static str,
    about: &'static str,
    needs: Needs,
    answer: (u16, Option<&'static str>),
) -> Call {
    Call { path, method, about, needs, body: None, answer, refused: &[] }
}
