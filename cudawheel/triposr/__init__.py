"""TripoSR: one image in, a triplane out, and from it the density and colour of any point of space.

The network is Tochilkin et al., "TripoSR: Fast 3D Object Reconstruction from a Single Image" (arXiv:2403.02151). This
is inference code of our own, to be read as a description of the model; it names its parameters as the published
checkpoint does and needs no other implementation. From picture to mesh:

    picture    any image file -> (3, S, S) in 0..1, the object on grey
    vit        picture -> 1025 image tokens of 768
    backbone   3 x 32 x 32 learned triplane tokens look at the image tokens -> triplane tokens of 1024
    triplane   the learned tokens; their upsampling to three planes of 40 x 64 x 64, the scene code; its sampling
    decoder    120 features of a point -> raw density and raw colour
    field      scene code and decoder as a field over space: density and colour anywhere
    grid       the field's density on a regular grid, the quick way
    network    the stages in one module
    checkpoint its weights, from a folder or a hub, checked
    surface    where the density is 25, by marching cubes
    mesh       the surface with the field's colours; mesh_files and texture, how it is written
    render     pictures of the field by volume rendering; portrait, one of the mesh
    scene      fitted scenes that take the network's place; shapes, what they were fitted to; score, how near they are
    reconstruction
               all of it in order, from pictures or a scene to files

This room needs the extra `triposr` and imports nothing of the project but its errors.
"""
