//! Whether SELinux labels are kept here. A confined process (a pod has its own categories) would lock the destination's
//! workload out by copying the source's labels, and may not set them anyway (engine-rules 19).

use std::path::Path;

use crate::types::SelinuxPolicy;

/// Types of processes that SELinux lets do what root may.
const UNCONFINED: [&str; 4] = [":unconfined_t:", ":spc_t:", ":initrc_t:", ":kernel_t:"];

/// Whether labels are copied under `policy`.
#[must_use]
pub fn keeps_selinux(policy: SelinuxPolicy) -> bool {
    match policy {
        SelinuxPolicy::Keep => true,
        SelinuxPolicy::Skip => false,
        SelinuxPolicy::Auto => !confined(
            Path::new("/sys/fs/selinux/enforce").exists(),
            &std::fs::read_to_string("/proc/self/attr/current").unwrap_or_default(),
        ),
    }
}

fn confined(active: bool, context: &str) -> bool {
    active && !UNCONFINED.iter().any(|unconfined| context.contains(unconfined))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_confined_process_where_selinux_is_active_leaves_labels_alone() {
        assert!(confined(true, "system_u:system_r:container_t:s0:c1,c2"));
        assert!(!confined(true, "system_u:system_r:spc_t:s0"));
        assert!(!confined(true, "unconfined_u:unconfined_r:unconfined_t:s0-s0:c0.c1023"));
        assert!(!confined(false, "unconfined"));
        assert!(keeps_selinux(SelinuxPolicy::Keep));
        assert!(!keeps_selinux(SelinuxPolicy::Skip));
    }
}
