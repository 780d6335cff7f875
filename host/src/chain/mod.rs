//! Policy: ordered links that decide what happens to an exchange, or to a connection. Knows neither sockets nor Wasm.

mod bodies;
mod connection;
mod decision;
mod fault;
mod going_out;
mod handling;
mod link;
mod strand;
mod stretch;
mod traced;
mod walk;

pub use bodies::{
    Bodiless, Called, Carry, End, Facts, Flow, Hold, HoldPhases, Judged, NoHold, Output, PIECE, Part, Report, Room, Share, Start,
    Ungathered, Want, Way, entire,
};
pub use connection::{Around, ConnectionDecision, ConnectionFilter, ConnectionPhases, ConnectionWalk, Hello, Reach};
pub use decision::{Decision, Edit, Edits, Verdict};
pub use fault::{Cause, Fault};
pub use going_out::{Attendance, Audience, GoingOut, Said};
pub use link::{Chain, Filter, Link, Waiting};
pub use stretch::{Joint, NoStretch, Stretch, Stretches};
pub use walk::{Aborted, Acted, Course, Failing, How, Replace, Walk, edit_request, edit_response};
