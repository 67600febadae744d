"""Thread affinity: `topology` describes the machine, `plan` decides, `apply` does it."""

from vs_runtime.affinity.apply import apply_affinity, gpu_index_of, worker_init
from vs_runtime.affinity.plan import AffinityConfig, AffinityPlan, AffinityPolicy, plan_affinity
from vs_runtime.affinity.topology import Core, Gpu, Topology, allowed_cpus, cpu_list, read_topology

__all__ = [
    "AffinityConfig",
    "AffinityPlan",
    "AffinityPolicy",
    "Core",
    "Gpu",
    "Topology",
    "allowed_cpus",
    "apply_affinity",
    "cpu_list",
    "gpu_index_of",
    "plan_affinity",
    "read_topology",
    "worker_init",
]
