"""About: the method in four formulas, how to read the pages, what the numbers mean."""

from __future__ import annotations

import streamlit as st

from fssd_core import __version__

st.title("About FSSD Explorer")
st.markdown(
    "A network trained to tell classes apart pushes the features of the images it learned **away** from one point of "
    "feature space, and leaves unfamiliar images closer to it. That point is the **feature space singularity F\\***; "
    "distance to it tells in-distribution (ind) from out-of-distribution (ood). The method is **FSSD** "
    "(Huang et al. 2021, [arXiv:2011.14654](https://arxiv.org/abs/2011.14654))."
)
left, right = st.columns(2, gap="large")
with left:
    st.subheader("Algorithm 1")
    st.markdown("**1. Find the singularity** of each layer *k*: the mean feature of *S* images of pure noise.")
    st.latex(r"F^*_k = \frac{1}{S}\sum_{s=1}^{S} F_k(x_s), \qquad x_s \sim U[0,1]")
    st.markdown("**2. Perturb** the image a little, for each layer on its own. Positive ε moves away from F\\*.")
    st.latex(r"\tilde x_k = x + \varepsilon\,\mathrm{sign}\!\left(\nabla_x \lVert F_k(x) - F^*_k\rVert_2\right)")
    st.markdown("**3. Measure the distance** and **4. add the layers up**, weighted by α.")
    st.latex(r"\mathrm{FSSD}_k(x) = \lVert F_k(\tilde x_k) - F^*_k \rVert_2")
    st.latex(r"\mathrm{FSSD}(x) = \sum_k \alpha_k\,\mathrm{FSSD}_k(x)")
    st.markdown(
        "A larger score means *more in-distribution*. Images are pixels in [0, 1], so noise and ε share one unit. "
        "The authors' code differs from the paper in places: it standardises the gradient over the batch and steps "
        "*toward* F\\*. Both rules are offered, as `sign` and `standardised`."
    )
with right:
    st.subheader("How to read the pages")
    st.markdown(
        "- **Features, around F\\***: the star in the middle is F\\*. The distance of a point from the star is its *true* "
        "distance to F\\* in the chosen layer, in units of the median ind image. Only the angle is a drawing's choice.\n"
        "- **Features, UMAP and PCA**: two dimensions cannot keep all distances. Each picture states its measured rank "
        "correlation between drawn and true distance to F\\*, and warns where it invents or hides a separation.\n"
        "- **Tuning**: move α, ε and the threshold; every curve and number follows while you move. Numbers are measured on "
        "images that were not used to fit α.\n"
        "- **Film**: the same picture at every checkpoint; between two of them points move on straight lines. With the ind median as "
        "1, a group that falls lags behind ind; *absolute* shows that it moves outward too.\n"
        "- **Why it concentrates**: *holds*, *mixed* and *fails* say whether the measured speeds bear out the slides' explanation.\n"
        "- **Inspect**: a bar is what a layer adds to the score, or takes from it, against the median ind image.\n"
        "- **Corruptions**: clean images against their corrupted selves; a line is a method's mean over the types, the band their spread. "
        "0.5 means that the corrupted images look as familiar as the clean ones.\n"
        "- **Methods**: each number has its protocol beside it; `paper` saw labelled images of the very ood set, "
        "`no-ood-labels` saw none.\n"
        "- **Universality**: **✗** marks networks in which ood images do not lie nearer to F\\*.\n"
        "- **AUROC** is the chance that a random ind image scores above a random ood image: 1 is perfect, 0.5 is a coin, "
        "below 0.5 the order is *inverted*. **FPR95** is the share of ood images accepted where 95 % of ind is accepted. "
        "**AUPR** depends on how many ind and ood images there are, so that ratio stands beside it."
    )
with left:
    st.subheader("What does not hold")
    st.markdown(
        "- *Concentration is relative.* In training every group moves away from F\\*; most ood groups lag behind. "
        "Look at absolute and relative distances both.\n"
        "- *Not every ood set lies near F\\*.* MNIST digits are farther from it than FashionMNIST in every layer of the demo. A "
        "layer's weight α must be able to be **negative**, and such a layer is called out.\n"
        "- *Weights fitted with ood labels do not transfer.* α fitted on one ood set can fail on another: choose the other "
        "sets on the Tuning page and see. The paper's published numbers use labelled images of the test ood set.\n"
        "- *The untrained network is the baseline.* Some sets are separated before any training, by pixel statistics alone. "
        "Compare with step 0."
    )
st.subheader("Cite")
st.code(
    """@inproceedings{huang2021feature,
  title     = {Feature Space Singularity for Out-of-Distribution Detection},
  author    = {Huang, Haiwen and Li, Zhihan and Wang, Lulu and Chen, Sishuo and Dong, Bin and Zhou, Xinyu},
  booktitle = {Proceedings of the Workshop on Artificial Intelligence Safety (SafeAI)},
  year      = {2021}
}""",
    language="bibtex",
)
st.caption(
    f"FSSD Explorer {__version__}, MIT licence. Demo data: FashionMNIST (MIT), MNIST digits; see assets/PROVENANCE.md."
)
