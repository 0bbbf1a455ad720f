"""Where the paper's published code, its text and our studies of it agree and differ; read at commit 22f69c6."""

# subject, the published code, our studies of the paper
SAME = (
    ("Precision", "float32", "`execution: {precision: float32}`"),
    ("Short last batch", "dropped on CIFAR and SVHN; kept on ImageNet", "the same, `drop_last: true`"),
    ("Learning rate", "changes once an epoch", "the same, `per: epoch`"),
    (
        "Pruning rounds",
        "on CIFAR without momentum and weight decay; on ImageNet with both, at a constant learning rate",
        "the same (`resnet50x1-imagenet-code`)",
    ),
    ("SVHN's images", "cropped at random, not flipped", "the same, by `data: {name: svhn}`; `flip: true` flips them"),
    (
        "First weights",
        "ResNet20: He normal; VGG11: torch's (`init_weights: False`); ResNet50: torchvision's",
        "the same, with `network: {initialisation: torch}` for the latter two; only the bias of ResNet20's classifier "
        "starts at 0, where torch would draw it",
    ),
    ("Pruned layers", "all convolutions and the classifier, no shortcuts", "the same, `prune.exclude`"),
    (
        "The pruned A's accuracy",
        "reported (`A_sparse`)",
        "reported as the method `pruned` in every table of accuracies",
    ),
    ("Gradient norms at the start", "reported", "`measure: [gradient_norm]`"),
    ("Top-5 accuracy", "reported on ImageNet", "reported if there are more than 20 classes (`accuracy_top5`)"),
)
OTHERWISE = (
    (
        "ImageNet's recipe",
        "learning rate 0.04 after a warm-up, divided by 10 every 31 epochs; batches of 256; 90 epochs. The paper's "
        "table says 0.4, batches of 1,024 and 80 epochs",
        "one study for each: `resnet50x1-imagenet-code`, `resnet50x1-imagenet`",
    ),
    (
        "Rewind epoch k",
        "the file of epoch k is written after epoch k + 1; the initialisation is never saved",
        "k = 0 is the initialisation, and any other k is the state after k epochs; `rewinds: [1, 6, ...]` starts from "
        "what the code calls epochs 0, 5, ...; sparse training is then one epoch shorter than in the code",
    ),
    (
        "Target sparsity",
        "for ResNets, pruning stops within 0.005 of it: 95% becomes 94.5%",
        "the exact count, because sparsities with a tolerance cannot be compared",
    ),
    (
        "Denominator of sparsity",
        "the weights of the pruned layers; at width 1 its 80, 90, 95 and 97% are 73.7, 82.9, 87.5 and 89.3% of all "
        "weights",
        "tables state both",
    ),
    (
        "Images to match on",
        "augmented images: all on CIFAR, 50 or 100 batches on ImageNet",
        "all images, prepared as for evaluation, so that a match is the same every time; `carry: {images: N}` takes "
        "fewer",
    ),
    (
        "Correlations",
        "for ResNet20, the mean of the batches' standard deviations is taken as the standard deviation",
        "first and second moments are pooled over all images, so the batch size makes no difference",
    ),
    (
        "BatchNorm reset",
        "a pass over augmented images in half precision, each batch with equal weight",
        "a pass over images prepared as for evaluation, in float32, each image with equal weight",
    ),
    (
        "Normalisation of CIFAR-10",
        "by ImageNet's mean and standard deviation",
        "by the mean and standard deviation of the training images; imported data (`data: {name: imported}`) can use "
        "any other",
    ),
    (
        "Classes of SVHN",
        "the network has 100 outputs",
        "10, one for each digit",
    ),
    (
        "ResNet50's match",
        "one of its files permutes the inner convolutions of B, another those of A",
        "the inner convolutions of A are permuted; the symmetry is found from the network's graph and verified",
    ),
    (
        "Fan-in rescaling",
        "is in the code, but never runs",
        "`sparse.rescale`, tested against its formula",
    ),
    (
        "Random numbers",
        "A and B draw from one stream, so B depends on A",
        "one stream per purpose and seed",
    ),
    (
        "Repeated work",
        "A, B and all pruning rounds are computed again for every sparsity",
        "every distinct step is computed once, with the same recipe",
    ),
    (
        "Commands",
        "those of its README end in errors, and the permuted run loads a file that no command writes",
        "every study runs from start to end in the tests, in its smallest form",
    ),
)
