//! A process killed first, the power lost later: what the killed one owed to the disk, the next life must not build on unpaid.
