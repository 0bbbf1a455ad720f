"""In what the paper's published code, its text and our studies of it differ; read in the code at commit 22f69c6."""

# subject, the published code, our studies of the paper
SAME = (
    ("Precision", "float32", "`execution: {precision: float32}`"),
    ("Short last batch", "left out on CIFAR and SVHN; kept on ImageNet", "the same, `drop_last: true`"),
    ("Learning rate", "moves once an epoch", "the same, `per: epoch`"),
    (
        "Pruning rounds",
        "on CIFAR without momentum and weight decay; on ImageNet at a constant rate with both",
        "the same (`resnet50x1-imagenet-code`)",
    ),
    ("SVHN's images", "cropped at random, not flipped", "the same, as `data: {name: svhn}` has it; `flip: true` flips"),
    (
        "First weights",
        "ResNet20: He normal; VGG11: torch's (`init_weights: False`); ResNet50: torchvision's",
        "the same, `network: {initialisation: torch}` for the latter two; the bias of ResNet20's classifier starts at "
        "0, not as torch draws it",
    ),
    ("Pruned layers", "all convolutions and the classifier, no shortcuts", "the same, `prune.exclude`"),
    ("The pruned A's accuracy", "reported (`A_sparse`)", "reported: the method `pruned` in every table of accuracies"),
    ("Gradient norms at the start", "reported", "`measure: [gradient_norm]`"),
    ("Top-5 accuracy", "reported on ImageNet", "reported where there are more than 20 classes (`accuracy_top5`)"),
)
OTHERWISE = (
    (
        "ImageNet's recipe",
        "warm-up, then a tenth every 31 epochs, 0.04, batches of 256, 90 epochs; the paper's table says 0.4, 1,024, 80",
        "one study for each: `resnet50x1-imagenet-code`, `resnet50x1-imagenet`",
    ),
    (
        "Rewind epoch k",
        "the file of epoch k is written after epoch k + 1; the initialisation is never saved",
        "k = 0 is the initialisation, k = after k epochs; `rewinds: [1, 6, ...]` gives the published starts, with an "
        "epoch less of sparse training",
    ),
    (
        "Target sparsity",
        "for ResNets, ends within 0.005 of it: 95% ends at 94.5%",
        "the exact count. A tolerance would make sparsities that one cannot compare",
    ),
    (
        "Denominator of sparsity",
        "pruned layers; at width 1 its 80, 90, 95, 97% are 73.7, 82.9, 87.5, 89.3% of all weights",
        "tables say both",
    ),
    (
        "Images to match on",
        "augmented: all on CIFAR, 50 or 100 batches on ImageNet",
        "all, as they are evaluated, so that a match is the same every time; `carry: {images: N}` takes fewer",
    ),
    (
        "Correlations",
        "for ResNet20, standard deviations are means over those of batches",
        "first and second moments pooled over all images; a batch's size then makes no difference",
    ),
    (
        "BatchNorm reset",
        "a pass over augmented images in half precision, each batch with equal weight",
        "a pass over images as they are evaluated, in float32, each image with equal weight",
    ),
    (
        "Normalisation of CIFAR-10",
        "by ImageNet's mean and standard deviation",
        "by the training images' own; imported data (`data: {name: imported}`) take any other",
    ),
    (
        "Classes of SVHN",
        "the network has 100 outputs",
        "10, as there are digits",
    ),
    (
        "ResNet50's match",
        "permutes inner convolutions of B in place of A's in one file, of A's in another",
        "of A's, found from the network's graph and verified",
    ),
    (
        "Fan-in rescaling",
        "never runs",
        "`sparse.rescale`, tested against its formula",
    ),
    (
        "Random numbers",
        "A and B share one stream, so that B depends on A",
        "one stream per purpose and seed",
    ),
    (
        "Repeated work",
        "A, B and all pruning rounds again for every sparsity",
        "every distinct step once; the results are those of the same recipe",
    ),
    (
        "Commands",
        "those of its README end in errors, and the permuted run loads a file that nothing writes",
        "every study runs from start to end in the tests, in its smallest form",
    ),
)
