# Every program of a toolkit that compiles nothing; whatever reads this in has set folder, name, python and program.
#
# Steps read what they are given, fail where something is missing, and write what they are told to: each file holds, one
# in the other, the files that it is made of. $folder/orders says what else a step has to do, and $folder/marks tells
# what ran. It is shell, and starts no other program, because a compilation runs a dozen of these and there are hundreds
# of them: Python takes ten times as long to start.

separator=$(printf '\037')

# Name a step: `g++ -E compute_90`, `cicc compute_90`, `ptxas sm_90`, `cudafe++`, `fatbinary`, `g++ -c`, `nvcc -M`.
name_it() {
    label=$name kind=-E number= before=
    for word; do
        case $before,$name,$word in
        *,nvcc,--dryrun) label=--dryrun ;;
        *,nvcc,-M | *,nvcc,-MM) label='nvcc -M' ;;
        *,g++,-c) kind=-c ;;
        *,g++,-D__CUDA_ARCH__=*) number=${word#*=} ;;
        *,nvcc,* | *,g++,*) ;;
        *,-arch=*) label="$name ${word#*=}" ;;
        -arch,*) label="$name $word" ;;
        esac
        before=$word
    done
    [ "$name" != g++ ] || label="g++ $kind"
    [ "$label" != 'g++ -E' ] || label="g++ -E${number:+ compute_${number%0}}"
}

# Tell what happened, in one write, so that nothing another step tells comes between.
leave() {
    IFS=$separator
    printf '%s\n' "$*$separator" >>"$folder/marks"
    unset IFS
}

# Count the starts, or the ends, of a step or of all.
count() {
    grep -c "^$1$separator${2:+$2$separator}" "$folder/marks"
}

# Wait until there are so many.
wait_for() {
    patience=6000
    until [ "$(count "$2" "${3:-}")" -ge "$1" ]; do
        patience=$((patience - 1))
        if [ "$patience" = 0 ]; then
            echo "waited in vain for the $2 of ${3:-others}" >&2
            exit 98
        fi
        sleep 0.01
    done
}

# Give what a file holds, with all that it includes.
show() {
    while IFS= read -r line || [ -n "$line" ]; do
        case $line in
        '#include "'*)
            line=${line#'#include "'}
            show "${1%/*}/${line%'"'}" || return 1
            ;;
        *) printf '%s\n' "$line" ;;
        esac
    done <"$1"
}

# Give all that a step reads.
inputs() {
    before=
    for word; do
        case $before in
        --orig_src_file_name | --orig_src_path_name | -o | --gen_c_file_name | --gen_device_file_name) word= ;;
        --stub_file_name) word= ;;
        --module_id_file_name) IFS= read -r id <"$word" || [ -n "$id" ] || return 1 ;;
        esac
        case $word in
        --image3=*) show "${word##*file=}" || return 1 ;;
        *.ii | *.ptx | *.cubin | *.cudafe1.cpp | *.cu) show "$word" || return 1 ;;
        esac
        before=$word
    done
    printf '%s' "${id:+id=$id;}"
}

# Write every file that is to be written, made of every one that is to be read.
step() {
    before='' made=0 included='' stub=''
    for word; do
        case $before in
        --module_id_file_name) [ "$made" = 0 ] || printf '_made_up_by_cudafe_%s' "$$" >"$word" ;;
        --include_file_name) included=$word ;;
        --stub_file_name) stub=$word ;;
        esac
        [ "$word" != --gen_module_id_file ] || made=1
        before=$word
    done
    inside=$(inputs "$@") || exit 97
    text="$label($inside)"
    before=
    for word; do
        case $before,$word in
        --stub_file_name,*) [ "$name" = cudafe++ ] || printf '%s\n#include "%s"\n' "$text" "$included" >"$word" ;;
        --gen_c_file_name,*) printf '%s\n' "$text" ${stub:+"#include \"$stub\""} >"$word" ;;
        -o,* | --gen_device_file_name,*) printf '%s\n' "$text" >"$word" ;;
        *,--embedded-fatbin=*) printf '%s\n' "$text" >"${word#*=}" ;;
        esac
        before=$word
    done
}

# What nvcc does with -M and -MM: headers of the system are only in the former.
dependencies() {
    before='' file='' target='' source='' more=''
    for word; do
        case $before,$word in
        -MF,*) file=$word ;;
        -MT,*) target=$word ;;
        *.cu) source=$word ;;
        *,-MP | *,--generate-dependency-targets) more=' +targets' ;;
        esac
        before=$word
    done
    case " $* " in *' -M '*) more=" /usr/include/stdc-predef.h$more" ;; esac
    printf '%s : %s%s\n' "$target" "$source" "$more" >"$file"
}

name_it "$@"
[ "$label" = --dryrun ] || leave start "$label" "$@"
. "$folder/orders"
case $label in
--dryrun) exec "$python" -IS "$program" "$folder" "$@" ;;
'nvcc -M') dependencies "$@" ;;
nvcc) ;;
*) step "$@" ;;
esac
leave end "$label"
