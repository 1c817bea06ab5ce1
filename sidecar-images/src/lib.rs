//! Container images from nothing but files: what is in them, the layer, the layout on disk. It refuses to fetch anything, to run
//! anything inside an image, and to write what differs from one run to the next.

pub mod contents;
pub mod layer;
pub mod layout;
pub mod transfer;
