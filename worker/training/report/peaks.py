"""The peak speed of GPUs: dense bfloat16 tensor operations per second with float32 accumulation, by the name that torch reports.

Sources are NVIDIA's data sheets and architecture white papers. Many of them state other figures, which are converted here:

- "With sparsity" doubles a figure. This applies to all figures of Hopper and Blackwell, and to the tensor performance of the RTX
  cards.
- GeForce cards accumulate in float32 at half the speed of float16. White papers list both (GA102, Ada and RTX Blackwell,
  appendix A). Product pages state only the fastest format: RTX 30, float16 with sparsity (4 times these figures); RTX 40,
  float8 with sparsity (8 times); RTX 50, float4 with sparsity (16 times).
- Workstation cards accumulate in float32 at full speed. Data sheets state float16 with sparsity for RTX A (2 times these figures)
  and float8 with sparsity for RTX Ada (4 times). RTX PRO Blackwell: its white paper.
- Data sheets of HGX and NVL72 systems state the sum over their GPUs.

A GPU without a published figure, or whose name we do not know, such as GB10 or B300, is not in the table.
"""

_TERAFLOPS = {
    # Ampere
    "A2": 18,
    "A10": 125,
    "A10G": 70,
    "A30": 165,
    "A40": 149.7,
    "A100-PCIE-40GB": 312,
    "A100-SXM4-40GB": 312,
    "A100-SXM4-80GB": 312,
    "A100 80GB PCIe": 312,
    "A800-SXM4-80GB": 312,
    "A800 80GB PCIe": 312,
    "RTX A2000": 31.9,
    "RTX A2000 12GB": 31.9,
    "RTX A4000": 76.7,
    "RTX A4500": 94.6,
    "RTX A5000": 111.1,
    "RTX A5500": 136.4,
    "RTX A6000": 154.8,
    "GeForce RTX 3060": 25.5,
    "GeForce RTX 3060 Ti": 32.4,
    "GeForce RTX 3070": 40.6,
    "GeForce RTX 3070 Ti": 43.5,
    "GeForce RTX 3080": 59.5,  # 10 GB; the 12 GB card has the same name and is 3 % faster
    "GeForce RTX 3080 Ti": 68.2,
    "GeForce RTX 3090": 71.2,
    "GeForce RTX 3090 Ti": 80,
    # Ada
    "L4": 121,
    "L20": 119.5,
    "L40": 181,
    "L40S": 362,
    "RTX 2000 Ada Generation": 48,
    "RTX 4000 SFF Ada Generation": 76.7,
    "RTX 4500 Ada Generation": 158.5,
    "RTX 5000 Ada Generation": 261.1,
    "RTX 6000 Ada Generation": 364.2,
    "GeForce RTX 4060": 30.2,
    "GeForce RTX 4060 Ti": 44.1,
    "GeForce RTX 4070": 58.3,
    "GeForce RTX 4070 SUPER": 71,
    "GeForce RTX 4070 Ti": 80.2,
    "GeForce RTX 4070 Ti SUPER": 88.2,
    "GeForce RTX 4080": 97.5,
    "GeForce RTX 4080 SUPER": 104.4,
    "GeForce RTX 4090": 165.2,
    # Hopper
    "H20": 148,
    "H100 PCIe": 756,
    "H100 NVL": 835,
    "H100 80GB HBM3": 989,
    "H200": 989,
    "H200 NVL": 835,
    "GH200 120GB": 989,
    "GH200 480GB": 989,
    "GH200 144G HBM3e": 989,
    # Blackwell
    "B200": 2250,
    "GB200": 2500,
    "RTX PRO 6000 Blackwell Workstation Edition": 503.8,
    "RTX PRO 6000 Blackwell Max-Q Workstation Edition": 438.9,
    "GeForce RTX 5060": 38.4,
    "GeForce RTX 5060 Ti": 47.4,
    "GeForce RTX 5070": 61.7,
    "GeForce RTX 5070 Ti": 87.9,
    "GeForce RTX 5080": 112.6,
    "GeForce RTX 5090": 209.5,
}
"""10¹² operations per second, by the whole name without its maker. Laptop GPUs, MIG instances and virtual GPUs have longer names."""


def peak_flops(name: str) -> float | None:
    """Return the peak of the GPU with this name in operations per second; None if it is not known.

    Old drivers leave "NVIDIA" out of the name.
    """
    teraflops = _TERAFLOPS.get(name.removeprefix("NVIDIA "))
    return None if teraflops is None else teraflops * 1e12
