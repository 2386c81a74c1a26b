//! What the screen shows, and what keys do.

mod keys;
mod panes;
mod scenes;
mod texts;
