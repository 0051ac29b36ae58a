from django import forms

from .models import Profile


class ProfileForm(forms.ModelForm):
    """The fields of a profile that its user may change."""

    class Meta:
        model = Profile
        fields = ("display_name", "biography", "website")
        widgets = {"biography": forms.Textarea(attrs={"rows": 5})}
